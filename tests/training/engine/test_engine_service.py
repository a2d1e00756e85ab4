"""The protocol's own state, with a compute that only remembers what it was asked."""

import asyncio
import pickle
from dataclasses import replace
from datetime import timedelta

import pytest
from fake_compute import FACTS, FakeCompute, new_model
from sdk_values import tokens
from tinker import types

from training.engine.compute.losses import LOSSES
from training.engine.errors import BadRequest, Gone, NotFound
from training.engine.losses import LOSS_INPUTS, LOSS_OPTIONS
from training.engine.protocol.fields import Fields
from training.engine.protocol.files import now
from training.engine.protocol.futures import Futures, json_reply
from training.engine.protocol.registry import Registry
from training.engine.protocol.requests import Requests
from training.engine.settings import EngineSettings


@pytest.fixture
def requests(tmp_path):
    settings = EngineSettings(
        base_model=tmp_path, state_dir=tmp_path / "state", adapters=(), model_ttl_s=60
    )
    made = Requests(settings, FACTS, FakeCompute(), set())
    asyncio.run(bind(made.futures))
    return made


async def bind(futures):
    futures.bind()


def test_the_losses_of_both_rooms_are_the_same():
    assert set(LOSSES) == set(LOSS_INPUTS) == set(LOSS_OPTIONS)


def test_models_of_a_client_that_went_silent_are_parked_and_finished_ones_dropped(requests):
    silent, quiet_model = new_model(requests)
    active, loud_model = new_model(requests)
    requests.registry.sessions.records[silent].seen = now() - timedelta(seconds=90)
    requests.sweep()
    assert requests.compute.parked == [quiet_model]
    assert requests.live_run(quiet_model), "parked is not gone"
    requests.finish_session(active)
    assert requests.compute.dropped == [loud_model]
    with pytest.raises(NotFound):
        requests.live_run(loud_model)
    with pytest.raises(BadRequest, match="finished"):
        new_model(requests, 1, active)


def test_what_nobody_used_for_a_month_is_forgotten_unless_it_has_checkpoints(requests, tmp_path):
    old, old_model = new_model(requests)
    kept, kept_model = new_model(requests)
    for session in (old, kept):
        record = requests.registry.sessions.records[session]
        record.seen = now() - timedelta(days=40)
        record.created = record.seen.isoformat()
    assert requests.registry.prune(now() - timedelta(days=30), {kept_model}) == [old_model]
    again = Registry(tmp_path / "state", FACTS.name)
    assert set(again.runs.records) == {kept_model}
    assert not again.sessions.records


def test_results_are_kept_for_their_time_and_then_gone():
    async def scenario():
        futures = Futures(ttl_s=0.05)
        futures.bind()
        runs = []
        for _ in range(3):
            told, _ = futures.submit("m:1", lambda: runs.append(1), model_id="m")
        assert (len(runs), told) == (1, {"request_id": "m:1", "model_id": "m"})
        assert await futures.fetch("m:1", 0.01) is None
        futures.resolve("m:1", json_reply({"a": 1}))
        first = await futures.fetch("m:1", 5)
        futures.sweep()
        assert await futures.fetch("m:1", 5) == first
        await asyncio.sleep(0.06)
        futures.sweep()
        with pytest.raises(Gone):
            await futures.fetch("m:1", 0.01)

    asyncio.run(scenario())


def test_a_submission_that_fails_leaves_its_number_free():
    futures = Futures(ttl_s=60)

    def fail():
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        futures.submit("m:1", fail)
    _, new = futures.submit("m:1", lambda: None)
    assert new


def test_waiting_polls_return_when_the_engine_ends():
    async def scenario():
        futures = Futures(ttl_s=60)
        futures.bind()
        futures.submit("m:1", lambda: None)
        waiting = asyncio.create_task(futures.fetch("m:1", 60))
        await asyncio.sleep(0.01)
        futures.close()
        assert await asyncio.wait_for(waiting, 1) is None

    asyncio.run(scenario())


def test_a_number_from_before_a_restart_is_never_run_twice(requests, tmp_path):
    _, model = new_model(requests)
    requests.optim_step(Fields({"model_id": model, "seq_id": 5, "adam_params": {}}))
    requests.flush()
    settings = replace(requests.settings)
    after = Requests(settings, FACTS, FakeCompute(), {model})
    with pytest.raises(BadRequest, match="already taken"):
        after.optim_step(Fields({"model_id": model, "seq_id": 5, "adam_params": {}}))
    after.optim_step(Fields({"model_id": model, "seq_id": 6, "adam_params": {}}))


def test_the_base_is_known_by_its_name_its_folder_and_any_spelling_of_it(requests):
    for name in ("/models/./tiny", "/models/tiny", "tiny", "/models/../models/tiny/"):
        requests.check_base(name)
    for name in ("/models/other", "", "Tiny"):
        with pytest.raises(BadRequest, match="serves /models"):
            requests.check_base(name)


def test_a_pickled_sampling_client_samples_too(client, tiny):
    sampler = client.create_sampling_client(base_model=str(tiny)).result()
    prompt = types.ModelInput.from_ints(tokens(1, 6))
    params = types.SamplingParams(max_tokens=6, temperature=0)
    wanted = sampler.sample(prompt, 1, params).result().sequences[0].tokens
    for _ in range(2):
        clone = pickle.loads(pickle.dumps(sampler))
        assert clone.sample(prompt, 1, params).result().sequences[0].tokens == wanted
