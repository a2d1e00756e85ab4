"""The preference run on a real engine: right from the first step, and exact when resumed."""

import json
import math
import shutil

import pytest
from workbench import PERSONA, STARTER, small_dpo

from training.adapters import find_adapter, read_card
from training.datums import Encoder
from training.dpo import DPOData, train_dpo
from training.dpo_run import train_adapter
from training.errors import AdapterDamaged, RunLost, TooLittleData
from training.pairs import PairSet, PreferencePair, prompt_key
from training.personas import load_personas
from training.reference import Reference
from training.runs import RunFolder


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def pair(number: int, chosen: str = "yes!", rejected: str = "no, never") -> PreferencePair:
    messages = ({"role": "user", "content": f"ask {number}"},)
    return PreferencePair(
        messages, f"{chosen} {number}", f"{rejected} {number}", 1.0, 1.0, (number,),
        prompt_key(messages),
    )  # fmt: skip


@pytest.fixture
def encoder(service):
    return Encoder(service, load_personas()[PERSONA])


def data_of(encoder, count: int = 12) -> DPOData:
    replay = tuple(
        encoder.sequence([{"role": "user", "content": f"q {n}"}], f"a {n}") for n in range(5)
    )
    return DPOData(
        tuple(encoder.pairs(pair(n) for n in range(count))),
        tuple(encoder.pairs(pair(n) for n in range(100, 104))),
        replay,
    )


def reference() -> Reference:
    card = read_card(find_adapter(PERSONA, STARTER))
    return Reference(card.id, card.sha256, f"tinker://adapter-{PERSONA}/weights/{STARTER}")


def weights_of(service, client):
    """The trained factors, as bytes."""
    from training.exporting import download_external

    path = client.save_weights_external("look").result().path
    urls = service.rest.get_external_weights_urls(path).result().urls
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        download_external(urls, Path(folder))
        return (Path(folder) / "adapter_model.safetensors").read_bytes()


def test_the_first_step_starts_at_log_two_and_the_margin_grows(service, encoder, tmp_path):
    run = RunFolder(tmp_path / "run")
    result = train_dpo(service, data_of(encoder), small_dpo(epochs=4), reference(), run)
    records = run.metrics()
    assert records[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert records[0]["accuracy"] == pytest.approx(0.5)
    assert abs(records[0]["margin"]) < 1e-3 and abs(records[0]["kl"]) < 1e-3
    assert records[-1]["loss"] < records[0]["loss"]
    assert records[-1]["margin"] > 0 and records[-1]["accuracy"] == 1.0
    assert len(records) == result.metrics["steps"] == 12
    assert result.metrics["heldout_accuracy"] > 0.5 and result.metrics["heldout_pairs"] == 4
    for name in (
        *("learning_rate", "tokens", "seconds", "chosen_reward", "rejected_reward", "replay_loss"),
        *("kl", "kl_base", "chosen_tokens", "rejected_tokens", "chosen_nll", "even"),
    ):
        assert all(name in record for record in records)
    assert all(record["grad_norm"] > 0 for record in records)
    assert records[0]["even"] == records[0]["pairs"] == 4
    assert records[0]["kl_base"] != pytest.approx(records[0]["kl"], abs=0.1)
    measured = [record["step"] for record in records if "heldout_accuracy" in record]
    assert measured == [2, 4, 6, 8, 10, 12]
    last = records[-1]
    for name in ("accuracy", "nll", "loss", "margin"):
        assert result.metrics[f"heldout_{name}"] == last[f"heldout_{name}"]
    assert last["heldout_loss"] < records[1]["heldout_loss"] < math.log(2)
    assert result.metrics["heldout_nll_start"] > 0


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_killed_run_resumes_to_the_same_weights(service, workshop, encoder, tmp_path, step):
    data, config = data_of(encoder), small_dpo(epochs=2)
    whole = train_dpo(service, data, config, reference(), RunFolder(tmp_path / "whole"))

    def kill(stage, share):
        if stage == "training" and share >= step / 6:
            raise Killed

    run = RunFolder(tmp_path / "killed")
    with pytest.raises(Killed):
        train_dpo(service, data, config, reference(), run, kill)
    first_reference = (run.path / "reference.json").read_bytes()
    with run.metrics_file.open("a") as torn:
        torn.write('{"step": 99, "lo')
    resumed = train_dpo(workshop.service(), data, config, reference(), run)
    assert (run.path / "reference.json").read_bytes() == first_reference
    assert [record["step"] for record in run.metrics()] == [1, 2, 3, 4, 5, 6]
    assert weights_of(service, resumed.client) == weights_of(service, whole.client)
    losses = [record["loss"] for record in RunFolder(tmp_path / "whole").metrics()]
    assert [record["loss"] for record in run.metrics()] == losses
    assert resumed.metrics["heldout_accuracy"] == whole.metrics["heldout_accuracy"]


def test_a_run_never_changes_what_it_began_with(service, encoder, tmp_path):
    run = RunFolder(tmp_path / "run")
    data = data_of(encoder)

    def kill(stage, share):
        if stage == "training":
            raise Killed

    with pytest.raises(Killed):
        train_dpo(service, data, small_dpo(), reference(), run, kill)
    with pytest.raises(RunLost, match="started with another config"):
        train_dpo(service, data, small_dpo(beta=0.2), reference(), run)
    other = Reference("other", "f" * 64, reference().path)
    with pytest.raises(RunLost, match="another reference"):
        train_dpo(service, data, small_dpo(), other, run)
    with pytest.raises(RunLost, match="data_sha256"):
        train_dpo(service, data_of(encoder, 11), small_dpo(), reference(), run)


def test_a_run_whose_saved_state_is_gone_begins_again_to_the_same_weights(
    service, encoder, tmp_path
):
    data, config = data_of(encoder), small_dpo(epochs=2)
    whole = train_dpo(service, data, config, reference(), RunFolder(tmp_path / "whole"))

    def kill(stage, share):
        if stage == "training" and share >= 0.5:
            raise Killed

    run = RunFolder(tmp_path / "run")
    with pytest.raises(Killed):
        train_dpo(service, data, config, reference(), run, kill)
    told = (run.path / "reference.json").read_bytes()
    run.put_checkpoint(2, "tinker://nowhere:train:0/weights/gone")
    again = train_dpo(service, data, config, reference(), run)
    assert [record["step"] for record in run.metrics()] == [1, 2, 3, 4, 5, 6]
    assert (run.path / "reference.json").read_bytes() == told
    assert weights_of(service, again.client) == weights_of(service, whole.client)


def test_a_supervised_run_whose_saved_state_is_gone_begins_again(service, workshop, tmp_path):
    from training.sft import SFTConfig, train_sft

    config = SFTConfig(rank=4, alpha=8.0, steps=3, batch=4, save_every=1)
    arguments = (service, load_personas()[PERSONA], workshop.outputs / "rows.jsonl", config)

    def kill(stage, share):
        if share >= 2 / 3:
            raise Killed

    made = []
    for name in ("sft-whole", "sft-lost"):
        run, out = RunFolder(tmp_path / name), workshop.outputs / "lora" / PERSONA / name
        if name == "sft-lost":
            with pytest.raises(Killed):
                train_sft(*arguments, run, out, kill)
            run.put_checkpoint(2, "tinker://nowhere:train:0/weights/gone")
        made.append(train_sft(*arguments, run, out))
        assert train_sft(*arguments, run, out) == made[-1], "asked again, it is found"
        shutil.rmtree(out)
    assert made[0].sha256 == made[1].sha256


def test_few_pairs_are_refused_before_anything_is_sent(service, encoder, tmp_path):
    with pytest.raises(TooLittleData, match="only 3 usable pairs; at least 8 wanted"):
        train_dpo(service, data_of(encoder, 3), small_dpo(), reference(), RunFolder(tmp_path / "r"))


def test_what_does_not_fit_is_counted_and_never_cut(service, encoder):
    long = pair(1, chosen="x" * 600)
    assert encoder.pairs([pair(0), long]) == encoder.pairs([pair(0)])
    assert encoder.refused["too long"] == 1


def test_sampled_tokens_are_kept_only_while_they_read_as_the_text(encoder):
    text = "hello there"
    ids = tuple(encoder.tokenizer.encode(text, add_special_tokens=False))
    assert encoder.completion(text, ids) == ids
    assert encoder.completion("something else", ids)[-1] == encoder.eos


@pytest.mark.parametrize("loss", ["ipo", "hinge", "simpo", "orpo", "robust", "rao_kupper_win"])
def test_every_loss_trains_in_the_right_direction(service, encoder, tmp_path, loss):
    option = {"simpo": {"gamma": 0.5}, "robust": {"label_smoothing": 0.1}}.get(loss, {})
    option |= {"alpha": 0.5} if loss == "rao_kupper_win" else {}
    run = RunFolder(tmp_path / loss)
    train_dpo(service, data_of(encoder), small_dpo(loss=loss, epochs=3, **option), reference(), run)
    assert run.metrics()[-1]["margin"] > run.metrics()[0]["margin"]


def test_an_adapter_says_what_made_it(service, workshop, tmp_path, ledger):
    from db import adapters

    with ledger.begin() as session:
        start = adapters.adapter(session, STARTER)
    pairs = PairSet(tuple(pair(n) for n in range(12)), (), 14, 12, {"ties": 2})
    out = workshop.outputs / "lora" / PERSONA / "made-from-pairs"
    run = RunFolder(tmp_path / "run")
    arguments = (
        service, load_personas()[PERSONA], pairs.training, pairs, small_dpo(), start, run, out
    )  # fmt: skip
    card = train_adapter(*arguments, snapshot="5" * 64, told={"simulated_judgments": 3})
    assert card.parents == ({"id": STARTER, "sha256": start.sha256, "weight": 1.0},)
    assert card.snapshot == "5" * 64 and card.metrics["dropped"] == {"ties": 2}
    report = json.loads((run.path / "pairs.json").read_text())
    assert report["dropped_judgments"] == {"ties": 2}
    assert sorted(j for one in report["pairs"] for j in one["judgments"]) == list(range(12))
    assert card.config["beta"] == 0.1
    assert card.metrics["simulated_judgments"] == report["simulated_judgments"] == 3
    assert train_adapter(*arguments) == card, "asked again, what was made is found"
    other = (*arguments[:4], small_dpo(beta=0.2), start, RunFolder(tmp_path / "other"), out)
    with pytest.raises(AdapterDamaged, match="there already, made by another run"):
        train_adapter(*other)
    changed = (*arguments[:4], small_dpo(beta=0.2), *arguments[5:])
    with pytest.raises(AdapterDamaged):
        train_adapter(*changed)
    assert json.loads((run.path / "pairs.json").read_text()) == report
    shutil.rmtree(out)


def test_every_judgment_was_trained_on_held_out_or_dropped_for_a_reason(
    service, workshop, tmp_path, ledger
):
    from db import adapters

    with ledger.begin() as session:
        start = adapters.adapter(session, STARTER)
    every = [pair(n) for n in range(14)] + [pair(20, chosen="x" * 600)]
    pairs = PairSet(tuple(every), (pair(30), pair(31, chosen="y" * 600)), 20, 17, {"ties": 3})
    chosen = [one for one in every if one.judgments != (4,)]
    out = workshop.outputs / "lora" / PERSONA / "counted"
    run = RunFolder(tmp_path / "run")
    card = train_adapter(
        service, load_personas()[PERSONA], chosen, pairs, small_dpo(), start, run, out
    )
    shutil.rmtree(out)
    report = json.loads((run.path / "pairs.json").read_text())
    assert report["dropped_judgments"] == {
        "ties": 3,
        "of earlier rounds, not replayed": 1,
        "too long or empty for the model": 2,
    }
    assert (report["trained_judgments"], report["heldout_judgments"]) == (13, 1)
    counted = 13 + 1 + sum(report["dropped_judgments"].values())
    assert counted == report["judgments"] == card.metrics["judgments"] == 20
    assert card.metrics["dropped"] == report["dropped_judgments"]
    assert "2 too long or empty for the model" in report["in_words"]


def test_a_refused_run_leaves_no_folder_and_says_what_did_not_fit(service, tmp_path, ledger):
    from db import adapters

    with ledger.begin() as session:
        start = adapters.adapter(session, STARTER)
    long = [pair(n, chosen="x" * 600) for n in range(10)]
    pairs = PairSet(tuple(long), (), 10, 10, {})
    run = RunFolder(tmp_path / "run")
    with pytest.raises(TooLittleData, match=r"only 0 usable pairs.*10 too long"):
        train_adapter(
            service, load_personas()[PERSONA], long, pairs, small_dpo(), start, run,
            tmp_path / "made",
        )  # fmt: skip
    assert not run.path.exists()


def test_measuring_and_kept_logprobs_change_nothing_that_is_trained(
    service, encoder, tmp_path, monkeypatch
):
    from training import reference as room
    from training.logprob_cache import LogProbCache

    asked: list[int] = []
    real = room.completion_logprobs

    def counted(service, client, sequences):
        asked.append(len(sequences))
        return real(service, client, sequences)

    monkeypatch.setattr(room, "completion_logprobs", counted)
    data = data_of(encoder)
    folder = tmp_path / "outputs"
    monkeypatch.setattr("training.logprob_cache.outputs_dir", lambda: folder)

    def trained(name, **change):
        run = RunFolder(tmp_path / name)
        result = train_dpo(service, data, small_dpo(epochs=2, **change), reference(), run)
        return weights_of(service, result.client), run.metrics()

    first, records = trained("first")
    assert asked == [32, 32], "reference and base, each completion once"
    kept = sorted(path.name for path in (folder / "logprobs").iterdir())
    assert len(kept) == 2
    quiet, fewer = trained("quiet", evaluate_every=0, kl_to_base=False)
    assert asked == [32, 32], "all of it was known"
    assert quiet == first
    assert "kl_base" not in fewer[0] and "heldout_accuracy" not in fewer[1]
    assert fewer[-1]["heldout_accuracy"] == records[-1]["heldout_accuracy"]
    weights = room._weights(service, reference().sha256)
    (folder / "logprobs" / f"{weights}.json").write_text("torn")
    damaged, _ = trained("damaged")
    assert asked == [32, 32, 32], "what cannot be believed is computed again"
    assert damaged == first
    assert len(LogProbCache(weights).known) == 32


def test_ties_train_beside_decided_pairs_and_are_measured_apart(service, encoder, tmp_path):
    from dataclasses import replace

    every = [pair(n) for n in range(12)]
    ties = [replace(pair(n), tie=True, label=0.5) for n in range(20, 26)]
    heldout = [*(pair(n) for n in range(100, 103)), replace(pair(103), tie=True, label=0.5)]
    data = DPOData(
        tuple(encoder.pairs([*every, *ties])), tuple(encoder.pairs(heldout)), ()
    )  # fmt: skip
    config = small_dpo(
        loss="rao_kupper_win", ties="rao_kupper", alpha=math.log(3), epochs=3, replay_weight=0.0
    )
    run = RunFolder(tmp_path / "ties")
    result = train_dpo(service, data, config, reference(), run)
    records = run.metrics()
    assert sum(record["ties"] for record in records) == 3 * 6
    first = records[0]
    decided = first["pairs"] - first["ties"]
    # An equal pair costs −log ¼ if decided and −log ½ if a tie.
    wanted = (decided * math.log(4) + first["ties"] * math.log(2)) / first["pairs"]
    assert first["loss"] == pytest.approx(wanted, abs=1e-3) and first["accuracy"] == 0.5
    assert records[-1]["margin"] > 0
    assert result.metrics["ties"] == 6 and result.metrics["heldout_pairs"] == 3
    only = DPOData(tuple(encoder.pairs(ties * 2)), (), ())
    with pytest.raises(TooLittleData, match="only 0 usable pairs beside 12 ties; at least 8"):
        train_dpo(service, only, config, reference(), RunFolder(tmp_path / "only"))


def both_fall(pairs, data, config, told):
    """Tells what the real loss tells, but makes both sides unlikely, the rejected one most."""
    from training.dpo_loss import loss_of

    real = loss_of(pairs, data, config, told)

    def loss(data, logprobs):
        real(data, logprobs)
        sums = [
            (lp * d.loss_fn_inputs["weights"].to_torch()).sum()
            for d, lp in zip(data, logprobs, strict=True)
        ]
        return 0.01 * sum(sums[0::2]) + 0.05 * sum(sums[1::2]), {}

    return loss


def test_the_alarm_is_in_the_metrics_the_log_and_the_report(
    service, workshop, tmp_path, ledger, monkeypatch, caplog
):
    from db import adapters

    with ledger.begin() as session:
        start = adapters.adapter(session, STARTER)
    monkeypatch.setattr("training.dpo.loss_of", both_fall)
    pairs = PairSet(tuple(pair(n) for n in range(12)), (), 12, 12, {})
    out = workshop.outputs / "lora" / PERSONA / "alarmed"
    run = RunFolder(tmp_path / "run")
    config = small_dpo(epochs=2, replay_weight=0.0, schedule="constant")
    with caplog.at_level("WARNING", logger="training.dpo"):
        card = train_adapter(
            service, load_personas()[PERSONA], pairs.training, pairs, config, start, run, out
        )
    shutil.rmtree(out)
    records = run.metrics()
    rang = [record["step"] for record in records if "alarm" in record]
    assert rang and rang[0] >= 3
    began = records[rang[0] - 1]
    assert began["chosen_gain"] < 0 and began["margin"] > 0
    assert "the chosen responses became less likely" in began["alarm"]
    report = json.loads((run.path / "pairs.json").read_text())
    assert report["alarm_steps"] == card.metrics["alarm_steps"] == rang
    assert report["alarm"] == card.metrics["alarm"] == began["alarm"]
    assert f"step {rang[0]}: the chosen responses" in caplog.text
