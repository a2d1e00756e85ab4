"""The hosted road to its end: real SDK, local engine posing as hosted Tinker, and faults."""

import json
import logging
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults import proxy
from serving import KEY, engine_in_thread
from workbench import PERSONA, small_candidates, small_dpo

from training.engine.settings import EngineSettings
from training.errors import (
    CheckpointGone,
    ConfigRefused,
    ServiceGone,
    ServiceRefused,
)
from training.personas import persona_of
from training.runs import RunFolder
from training.sft import SFTConfig, train_sft

# Clients of a proxy that is closed go on knocking until the process ends.
logging.getLogger("tinker").setLevel(logging.CRITICAL)
CONFIG = SFTConfig(rank=4, alpha=None, steps=4, batch=4, learning_rate=0.01, save_every=2)
FIRST = f"{PERSONA}-first"


@pytest.fixture(scope="session")
def hosted_engine(tmp_path_factory):
    """An engine that no folder of ours is shared with, as far away as a test can have it."""
    from tiny import make_tiny

    settings = EngineSettings(
        base_model=make_tiny(tmp_path_factory.mktemp("far") / "tiny"),
        state_dir=tmp_path_factory.mktemp("far-state"),
        adapters=(),
    )
    with engine_in_thread(settings) as running:
        yield running


@pytest.fixture
def road(hosted_engine, tmp_path, monkeypatch):
    """The environment of somebody with a key; hosted Tinker is behind a faulty proxy."""
    from training import personas

    # The tiny model reads byte by byte, and a guide would be most of what it reads.
    short = replace(personas.load_personas()[PERSONA], guide="Be kind.", variables=())
    monkeypatch.setattr(personas, "load_personas", lambda: {PERSONA: short})
    with proxy(hosted_engine.url) as faults:
        monkeypatch.setenv("TINKER_API_KEY", KEY)
        monkeypatch.setenv("TINKER_BASE_URL", faults.url)
        monkeypatch.setenv("PERSONALOOP_HOSTED_MODEL", str(hosted_engine.settings.base_model))
        monkeypatch.setenv("PERSONALOOP_HOSTED_RENDERER", "role_colon")
        monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path / "outputs"))
        yield faults


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [
        {"persona": PERSONA, "prompt": f"question {n}?", "response": f"answer {n}!"}
        for n in range(12)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def opened(**terms):
    """A connected service, less patient than the shipped configuration."""
    from training.service import open_service

    service = open_service()
    assert service.terms is not None
    quick = {"look_seconds": 0.05, "silent_minutes": 0.3 / 60, **terms}
    service.terms = replace(service.terms, **quick)
    return service


def outputs() -> Path:
    return Path(os.environ["PERSONALOOP_OUTPUTS"])


def folder(name: str = FIRST) -> Path:
    return outputs() / "lora" / PERSONA / name


def supervised(service, rows, name=FIRST, config=CONFIG, progress=lambda stage, share: None):
    run = RunFolder(outputs() / "runs" / name)
    return train_sft(service, persona_of(PERSONA), rows, config, run, folder(name), progress)


def expiry(service, path):
    """When the service will forget a state; None is never."""
    for one in service.rest.list_user_checkpoints(limit=1000).result().checkpoints:
        if one.tinker_path == path:
            return one.expires_at
    raise AssertionError(f"{path} is not listed")


@pytest.fixture
def ledger(tmp_path):
    """A fresh ledger with the persona and prompts, and nothing that answers."""
    from db import personas, prompts
    from db.session import close_database, sessions, upgrade

    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(url)
    make = sessions(url)
    with make.begin() as session:
        personas.put_persona(
            session, slug=PERSONA, name="Pip", summary="", template_sha256="", front_matter={}
        )
        for number in range(30):
            prompts.put_prompt(session, [{"role": "user", "content": f"ask {number}"}])
        for number in range(10):
            prompts.put_prompt(
                session, [{"role": "user", "content": f"held {number}"}], split="heldout"
            )
    yield make
    close_database(url)


def register(make, card, promote=True):
    from db import adapters
    from training.adapters import portable

    with make.begin() as session:
        adapters.put_adapter(
            session,
            id=card.id,
            kind=card.kind,
            persona=PERSONA,
            base_model=card.base_model,
            base_model_sha256=card.base_model_sha256,
            path=portable(folder(card.id)),
            sha256=card.sha256,
            service=card.service,
        )
        if promote:
            adapters.promote(session, PERSONA, card.id, reason="test", actor="test")


def test_the_whole_road_trains_pins_registers_samples_retrains_and_lets_go(
    road, rows, ledger, caplog, tmp_path
):
    from db import adapters, jobs
    from db.models import Adapter, JobKind
    from training.evaluation.judges import annotators
    from training.jobs import Worker
    from training.keeping import keep_adapters
    from training.simulation import judge_all

    for logger in (None, "tinker", "httpx", "httpcore"):
        caplog.set_level("DEBUG", logger=logger)
    service = opened()
    first = supervised(service, rows)
    peft = json.loads((folder() / "adapter_config.json").read_text())
    assert first.config["alpha"] == peft["lora_alpha"], "alpha is read from the export"
    assert set(first.service) == {"state", "sampler"}
    assert [expiry(service, path) for path in service.paths(first)] == [None, None]
    told = json.loads((outputs() / "runs" / FIRST / "hosted.json").read_text())
    assert told["renderer"] == "role_colon" and "dropout" in str(told["differences"])
    left = [c.checkpoint_id for c in states_of(service, first.service["state"])]
    assert sorted(left) == [f"sampler_weights/{FIRST}", f"weights/{FIRST}"], (
        "checkpoints of the run and the export itself are gone"
    )
    register(ledger, first)

    worker = Worker(
        ledger,
        connect=lambda: service,
        dpo=small_dpo(),
        candidates=small_candidates(),
        name="test",
        follow_up=False,
    )
    for kind, params in (
        (JobKind.GENERATE, {}),
        (JobKind.RETRAIN, {"include_simulated": True, "force": "a test"}),
    ):
        with ledger.begin() as session:
            jobs.enqueue(session, kind, persona=PERSONA, params=params)
        done = worker.step()
        assert done is not None and done.outcome == "done", done
        if kind is JobKind.GENERATE:
            judge_all(ledger, annotators(8, judge=lambda m, p, a, b: "a" if a > b else "b"))
    with ledger.begin() as session:
        found = {one.id: one for one in adapters.adapters(session, PERSONA)}
    (second,) = [one for one in found if one != FIRST]
    assert found[second].service == {
        **json.loads((folder(second) / "adapter.json").read_text())["service"]
    }
    paths = [*first.service.values(), *found[second].service.values()]
    assert [expiry(service, path) for path in paths] == [None] * 4

    with ledger.begin() as session:
        adapters.promote(session, PERSONA, second, reason="test", actor="test")
        from db.models import Round, RoundState

        session.query(Round).update({Round.state: RoundState.PROMOTED})
    said = keep_adapters(ledger, service)
    assert said and said[0].startswith(f"{FIRST}: kept until ") and len(said) == 1
    days = (expiry(service, first.service["state"]) - datetime.now(UTC)).days
    assert days == 29, "what was replaced is kept for a while, to roll back to"
    assert keep_adapters(ledger, service) == []
    with ledger.begin() as session:
        adapters.rollback(session, PERSONA, actor="test")
    keep_adapters(ledger, service)
    assert expiry(service, first.service["state"]) is None, "what answers is pinned again"
    with ledger.begin() as session:
        assert session.get_one(Adapter, second).service["kept_until"] > "20"

    nothing_has_the_key(tmp_path, caplog)


def states_of(service, path):
    run = path.removeprefix("tinker://").partition("/")[0]
    return service.rest.list_checkpoints(run).result().checkpoints


def nothing_has_the_key(root, caplog):
    """No file under a folder and no log line has the key."""
    looked = [path for path in root.rglob("*") if path.is_file()]
    assert any(path.name == "ledger.db" for path in looked)
    assert any(path.name == "metrics.jsonl" for path in looked)
    for path in looked:
        assert KEY.encode() not in path.read_bytes(), path
    assert len(caplog.records) > 10
    assert KEY not in caplog.text


def test_an_outage_ends_in_a_clear_error_and_the_run_resumes_to_the_same_weights(road, rows):
    service = opened()
    whole = supervised(service, rows, "whole")

    def lose(stage, share):
        if stage == "training" and share == 0.75:
            road.lose()

    began = time.monotonic()
    with pytest.raises(ServiceGone, match=r"has not answered for 0.005 minutes .*silent_minutes"):
        supervised(service, rows, progress=lose)
    assert time.monotonic() - began < 30
    with pytest.raises(ServiceGone, match="does not answer; look at the network"):
        impatient_open()
    road.find()
    shares = []
    made = supervised(opened(), rows, progress=lambda stage, share: shares.append(share))
    assert shares[0] == 0.5, "from the saved state of step 2 on"
    assert made.sha256 == whole.sha256


def impatient_open():
    from training import hosted

    config = replace(hosted.hosted_config(), silent_minutes=0.005)
    hosted.knock(hosted.address(), config)


def test_rate_limits_are_waited_out_and_change_nothing(road, rows):
    service = opened()
    whole = supervised(service, rows, "whole")
    for where in ("/forward_backward", "/optim_step", "/retrieve_future", "/save_weights", "/ttl"):
        road.limit(where, 1, 0.1)
    road.limit("/download/", 1, 0.1)
    made = supervised(service, rows)
    assert made.sha256 == whole.sha256
    assert [rule.times for rule in road.rules] == [0] * 6, "every limit was met"
    road.limit("/asample", 1, 0.1)
    _, path = service.paths(made)
    assert sample(service, path)


def sample(service, path):
    import tinker

    prompt = tinker.ModelInput.from_ints([5, 6, 7])
    params = tinker.SamplingParams(max_tokens=3)
    answer = service.wait(service.sampler(path).sample(prompt, 1, params))
    return answer.sequences[0].tokens


def test_an_expired_checkpoint_of_a_run_begins_it_again_to_the_same_weights(road, rows, caplog):
    service = opened()
    whole = supervised(service, rows, "whole")

    def stop(stage, share):
        if share == 0.75:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        supervised(service, rows, progress=stop)
    saved = RunFolder(outputs() / "runs" / FIRST).checkpoint()
    assert saved is not None and saved.step == 2
    days = (expiry(service, saved.path) - datetime.now(UTC)).total_seconds() / 86400
    assert days == pytest.approx(7, abs=0.01), "its lifetime is ours, not the service's"
    service.wait(service.rest.delete_checkpoint_from_tinker_path(saved.path))
    shares = []
    made = supervised(service, rows, progress=lambda stage, share: shares.append(share))
    assert shares[0] == 0.0
    assert made.sha256 == whole.sha256
    assert "no longer keeps" in caplog.text


def test_a_reference_that_expired_fails_the_job_at_once_and_says_so(road, rows, ledger):
    from db import jobs
    from db.models import Adapter, JobKind
    from training.jobs import Worker
    from training.keeping import keep_adapters

    service = opened()
    first = supervised(service, rows)
    register(ledger, first)
    for path in service.paths(first):
        service.wait(service.rest.delete_checkpoint_from_tinker_path(path))
    with pytest.raises(CheckpointGone, match=r"no longer keeps tinker://.*expired or was deleted"):
        service.started_from(first.service["state"])
    with pytest.raises(CheckpointGone, match="no longer keeps"):
        sample(service, first.service["sampler"])
    worker = Worker(ledger, connect=lambda: service, candidates=small_candidates(), name="test")
    with ledger.begin() as session:
        jobs.enqueue(session, JobKind.GENERATE, persona=PERSONA)
    done = worker.step()
    assert done is not None and done.outcome == "failed" and "no longer keeps" in done.message
    with ledger.begin() as session:
        session.get_one(Adapter, FIRST).service = {**first.service, "kept_until": "2026-01-01"}
    assert "cannot be sampled" in keep_adapters(ledger, service)[0]
    with ledger.begin() as session:
        assert session.get_one(Adapter, FIRST).service["kept_until"] == "gone"


def test_a_request_that_is_taken_and_never_answered_ends_in_a_clear_error(road, rows):
    service = opened(answer_minutes=0.01)
    road.hold("/retrieve_future", 1000, 0.2)
    with pytest.raises(ServiceGone, match=r"not answered it for 0.01 minutes \(answer_minutes"):
        supervised(service, rows)


def test_a_download_that_is_cut_goes_on_where_it_was_and_a_stale_address_is_asked_again(road, rows):
    service = opened()
    whole = supervised(service, rows, "whole")
    road.cut("/download/", 2, 3000)
    road.fail("/adapter_config.json", 1, 404)
    before = road.seen("/external_weights_urls")
    made = supervised(service, rows)
    assert made.sha256 == whole.sha256
    assert road.seen("adapter_model.safetensors HTTP") == 4, "one for the first, three for this"
    assert road.seen("/external_weights_urls") - before == 2
    left = [path.name for path in folder().parent.iterdir()]
    assert sorted(left) == [FIRST, "whole"], "nothing half downloaded is left"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"TINKER_API_KEY": "tml-another-key-0123456789"}, ServiceRefused, "does not let us in"),
        ({"PERSONALOOP_HOSTED_MODEL": "Qwen/Qwen3-8B"}, ConfigRefused, "serves no 'Qwen/Qwen3-8B'"),
        ({"PERSONALOOP_HOSTED_RENDERER": ""}, ConfigRefused, "knows no renderer for"),
        ({"PERSONALOOP_HOSTED_MODEL": ""}, ConfigRefused, "name its base model"),
    ],
)
def test_the_door_says_what_is_wrong_and_never_the_key(road, monkeypatch, change, error, message):
    from training.service import open_service

    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error, match=message) as caught:
        open_service()
    assert "tml-another" not in str(caught.value)


def test_a_key_in_an_error_of_the_service_is_not_repeated(road, rows):
    service = opened()
    road.fail("/create_model", 1, 403, json.dumps({"detail": f"bad key {KEY}"}))
    with pytest.raises(ServiceRefused, match="bad key tml-…") as caught:
        supervised(service, rows)
    assert KEY not in str(caught.value)


def test_without_tinker_cookbook_a_hosted_run_says_how_to_install_it(road, monkeypatch):
    import sys

    from training.service import open_service

    for name in [n for n in sys.modules if n.partition(".")[0] == "tinker_cookbook"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tinker_cookbook", None)
    with pytest.raises(ConfigRefused, match="pip install 'tinker-cookbook==") as caught:
        open_service()
    assert "\n" not in str(caught.value)


def test_alpha_is_refused_before_anything_is_trained(road, rows):
    service = opened()
    before = road.seen("/create_model")
    with pytest.raises(ConfigRefused, match="alpha 16 cannot be chosen on hosted Tinker"):
        supervised(service, rows, config=replace(CONFIG, alpha=16.0))
    assert road.seen("/create_model") == before
