"""Nothing grows without bound, and a client for which there is no room is told to wait."""

import asyncio
import gc
from dataclasses import replace
from datetime import timedelta

import httpx
import numpy as np
import pytest
from fake_compute import FACTS, FakeCompute, new_model
from sdk_values import datum, tokens
from serving import KEY, engine_in_thread
from tinker import types

from training.engine.compute.lanes import Arrival
from training.engine.compute.models import Models
from training.engine.compute.tasks import Row, Task
from training.engine.compute.worker import Worker
from training.engine.errors import Busy, Gone, NotFound
from training.engine.messages import SampledSequence, SampleRequest, SampleResult, SamplingParams
from training.engine.protocol.fields import Fields
from training.engine.protocol.files import now
from training.engine.protocol.futures import Futures, Reply, Weight, _Entry
from training.engine.protocol.limits import Limits
from training.engine.protocol.registry import Sampler
from training.engine.protocol.requests import Requests
from training.engine.settings import EngineSettings


def alive(*kinds: type) -> int:
    """How many objects of these kinds there are."""
    gc.collect()
    return sum(type(thing) in kinds for thing in gc.get_objects())


class AnsweringCompute(FakeCompute):
    """Answers sampling at once and forgets operations."""

    def sample(self, request, done):
        one = SampledSequence(np.array([5], np.int32), np.array([-1.0], np.float32), True)
        done(SampleResult([one] * request.num_samples), None)
        return object()

    def submit(self, model_id, operation, done):
        done({}, None)


def service(tmp_path, compute=None, **limits) -> Requests:
    settings = EngineSettings(
        base_model=tmp_path,
        state_dir=tmp_path / "state",
        adapters=(),
        limits=replace(Limits(), **limits),
    )
    return Requests(settings, FACTS, compute or FakeCompute(), set())


def test_thousands_of_requests_leave_as_many_objects_as_the_limits_say(tmp_path):
    before = alive(_Entry, Reply)
    found = {}

    async def scenario():
        requests = service(tmp_path, AnsweringCompute(), results=50)
        requests.futures.bind()
        session, model = new_model(requests)
        sampler = requests.create_sampler(
            Fields({"session_id": session, "sampling_session_seq_id": 0, "base_model": FACTS.name})
        )["sampling_session_id"]
        for i in range(1, 3001):
            told = requests.sample(
                Fields(
                    {
                        "sampling_session_id": sampler,
                        "seq_id": i,
                        "prompt": {"chunks": [{"tokens": [5, 6]}]},
                        "sampling_params": {"max_tokens": 1},
                    }
                )
            )
            assert await requests.futures.fetch(told["request_id"], 5)
            told = requests.optim_step(Fields({"model_id": model, "seq_id": i, "adam_params": {}}))
            assert await requests.futures.fetch(told["request_id"], 5)
        found["entries"] = alive(_Entry, Reply) - before
        futures = requests.futures
        assert len(futures) == 50
        assert not requests.tasks
        assert (futures.pending, futures._pending_bytes, futures._sequences) == (0, 0, 0)
        assert not futures._pending_of
        assert not futures._sequences_of
        assert len(requests.turns) == 1

    asyncio.run(scenario())
    assert found["entries"] <= 100


def test_the_worker_keeps_nothing_of_what_it_has_answered(base, tmp_path):
    worker = Worker(Models(base, tmp_path / "parked", 1 << 30))
    before = alive(Task, Row, Arrival)
    answers = []
    for i in range(1000):
        worker.sample(
            SampleRequest("", np.array([5, 6]), 2, SamplingParams(max_tokens=2), owner=f"o{i % 7}"),
            lambda value, _error: answers.append(len(value.sequences)),
        )
    while worker._incoming or worker._lanes:
        worker.turn()
    assert answers == [2] * 1000
    assert alive(Task, Row, Arrival) == before
    assert not worker._lanes._load._rows


def test_results_that_were_fetched_leave_before_those_that_were_not():
    async def scenario():
        futures = Futures(60, Limits(results=3))
        futures.bind()
        for i in range(4):
            futures.submit(f"m:{i}", lambda: None)
        for i in range(3):
            futures.resolve(f"m:{i}", Reply(b"x"))
        assert await futures.fetch("m:1", 5)
        futures.resolve("m:3", Reply(b"x"))
        assert await futures.fetch("m:3", 5)
        with pytest.raises(Gone):
            await futures.fetch("m:1", 0)
        assert await futures.fetch("m:0", 5), "the oldest, but nobody has it yet"

    asyncio.run(scenario())


def test_a_lost_reply_can_be_fetched_again_for_a_while_only():
    async def scenario():
        futures = Futures(60, Limits(read_ttl_s=0.05))
        futures.bind()
        futures.submit("m:1", lambda: None)
        futures.submit("m:2", lambda: None)
        for name in ("m:1", "m:2"):
            futures.resolve(name, Reply(b"x"))
        assert await futures.fetch("m:1", 5)
        futures.sweep()
        assert await futures.fetch("m:1", 5), "the reply may have been lost"
        await asyncio.sleep(0.06)
        futures.sweep()
        with pytest.raises(Gone):
            await futures.fetch("m:1", 0)
        assert await futures.fetch("m:2", 5), "nobody has it yet"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("limits", "weight", "others"),
    [
        ({"pending": 2}, Weight("me"), Weight("other")),
        ({"pending_each": 2}, Weight("me"), Weight("me")),
        ({"sequences": 5}, Weight("me", 2), Weight("other", 2)),
        ({"sequences_each": 5}, Weight("me", 2), Weight("me", 2)),
        ({"pending_bytes": 25}, Weight("me", size=10), Weight("other", size=10)),
    ],
)
def test_each_bound_says_busy_and_only_while_it_is_reached(limits, weight, others):
    async def scenario():
        futures = Futures(60, Limits(**limits))
        futures.bind()
        futures.submit("a:1", lambda: None, others)
        futures.submit("a:2", lambda: None, others)
        with pytest.raises(Busy, match="at once; ask again"):
            futures.submit("b:1", lambda: None, weight)
        futures.submit("a:2", lambda: None, others)  # a repeated one needs no room
        futures.resolve("a:1", Reply(b"x"))
        assert await futures.fetch("a:1", 5)
        futures.submit("b:1", lambda: None, weight)

    asyncio.run(scenario())


def test_one_request_above_every_bound_is_taken_when_nothing_else_is_there():
    futures = Futures(60, Limits(sequences=4, pending_bytes=10))
    futures.submit("a:1", lambda: None, Weight("me", 1000, 1000))


def test_silent_clients_make_room_for_new_ones_and_busy_ones_do_not(tmp_path):
    requests = service(tmp_path, sessions=3)
    registry = requests.registry
    old = [registry.new_session(None, None) for _ in range(3)]
    with pytest.raises(Busy, match="3 clients"):
        registry.new_session(None, None)
    for session in old:
        session.seen = now() - timedelta(hours=1)
    _, model = new_model(requests, session=old[0].session_id)
    old[0].seen = now() - timedelta(hours=2)
    registry.new_session(None, None)
    assert old[0].session_id in registry.sessions.records, "its model is being trained"
    assert old[1].session_id not in registry.sessions.records
    assert requests.live_run(model)


def test_models_of_silent_clients_make_room_and_the_others_are_waited_for(tmp_path):
    requests = service(tmp_path, models=2, runs=3)
    silent, first = new_model(requests)
    _, second = new_model(requests)
    with pytest.raises(Busy, match="2 models"):
        new_model(requests)
    requests.registry.sessions.records[silent].seen = now() - timedelta(hours=1)
    _, third = new_model(requests)
    assert requests.compute.dropped == [first]
    with pytest.raises(NotFound):
        requests.live_run(first)
    requests.registry.sessions.records[second.partition(":")[0]].seen = now() - timedelta(hours=1)
    new_model(requests)
    assert first not in requests.registry.runs.records, "nothing is left of it"
    assert third in requests.registry.runs.records


def test_sampling_sessions_and_private_weights_are_bounded(tmp_path):
    requests = service(tmp_path, samplers=3, snapshots=2)
    registry = requests.registry
    for i in range(3):
        (requests.snapshots / f"w{i}").mkdir()
        registry.new_sampler(Sampler(f"s:sample:{i}", "s", "", FACTS.name, snapshot=f"w{i}"))
    with pytest.raises(Busy, match="3 sampling"):
        registry.new_sampler(Sampler("s:sample:9", "s", "", FACTS.name))
    registry.sampler("s:sample:0")
    requests.tasks["s:sample:1:7"] = object()
    requests.make_room_for_snapshot()
    requests.flush()
    assert set(registry.samplers.records) == {"s:sample:1"}, "in use, though used longest ago"
    assert [folder.name for folder in requests.snapshots.iterdir()] == ["w1"]
    registry.samplers.records["s:sample:1"].seen = now() - timedelta(hours=1)
    for i in range(10, 13):
        registry.new_sampler(Sampler(f"s:sample:{i}", "s", "", FACTS.name))
    assert "s:sample:1" not in registry.samplers.records


def test_samples_that_nobody_asks_for_any_more_are_stopped_and_may_be_submitted_again(tmp_path):
    async def scenario():
        requests = service(tmp_path)
        requests.futures.bind()
        session = requests.registry.new_session(None, None).session_id
        sampler = requests.create_sampler(
            Fields({"session_id": session, "sampling_session_seq_id": 0, "base_model": FACTS.name})
        )["sampling_session_id"]
        body = {
            "sampling_session_id": sampler,
            "prompt": {"chunks": [{"tokens": [5, 6]}]},
            "sampling_params": {"max_tokens": 1},
        }
        names = [requests.sample(Fields({**body, "seq_id": i}))["request_id"] for i in range(2)]
        for name in names:
            requests.futures._entries[name].asked -= 2 * requests.settings.model_ttl_s
        await requests.futures.fetch(names[1], 0.001)
        requests.sweep()
        assert len(requests.compute.cancelled) == 1
        assert list(requests.tasks) == [names[1]]
        assert requests.futures.pending == 1
        with pytest.raises(Gone):  # 410, by which the SDK submits it again
            await requests.futures.fetch(names[0], 0)

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def small(tiny, tmp_path_factory):
    limits = Limits(pending_each=6, reading_bytes=1000, ahead=2)
    settings = EngineSettings(
        base_model=tiny,
        state_dir=tmp_path_factory.mktemp("small"),
        adapters=(),
        limits=limits,
    )
    with engine_in_thread(settings) as running:
        yield running


def test_the_sdk_waits_for_a_full_engine_instead_of_failing(small, tiny):
    client = small.client()
    sampler = client.create_sampling_client(base_model=str(tiny)).result()
    params = types.SamplingParams(max_tokens=150, stop=[])
    prompt = types.ModelInput.from_ints(tokens(1, 5))
    body = {
        "sampling_session_id": sampler._sampling_session_id,
        "num_samples": 100,
        "prompt": {"chunks": [{"tokens": [5, 6]}]},
        "sampling_params": {"max_tokens": 400, "stop": []},
    }
    replies = [small.post("/asample", {**body, "seq_id": 900 + i}) for i in range(8)]
    full = [reply for reply in replies if reply.status_code == 429]
    assert full, "the bound is six"
    assert full[0].headers["retry-after"] == "1"
    assert "at most 6 requests" in full[0].json()["detail"]
    for reply in replies:
        if reply.status_code == 200:
            small.post("/cancel_future", {"request_id": reply.json()["request_id"]})
    found = [sampler.sample(prompt, 1, params) for _ in range(10)]
    assert all(len(future.result().sequences[0].tokens) == 150 for future in found)


def test_pipelined_training_steps_wait_for_room_too_and_none_is_lost(small, tiny, monkeypatch):
    from training.engine.protocol import app

    told, busy = [], app._busy
    monkeypatch.setattr(app, "_busy", lambda detail: told.append(detail) or busy(detail))
    model = small.client().create_lora_training_client(str(tiny), rank=2, seed=0).result()
    first = model.forward_backward([datum(tokens(i, 400)) for i in range(40)], "cross_entropy")
    steps = [model.optim_step(types.AdamParams(learning_rate=1e-4)) for _ in range(9)]
    assert first.result().metrics["loss:sum"] > 0
    norms = [step.result().metrics["grad_norm:mean"] for step in steps]
    assert norms[0] > 0
    assert norms[1:] == [0.0] * 8
    assert told, "six at once are the bound, ten were sent"


def test_too_many_large_bodies_at_once_are_told_to_wait(small):
    async def scenario():
        headers = {"X-API-Key": KEY}
        slow = asyncio.Event()

        async def pieces():
            yield b"{"
            await slow.wait()
            yield b" " * 898 + b"}"

        async with httpx.AsyncClient(base_url=f"{small.url}/api/v1", trust_env=False) as client:
            first = asyncio.create_task(
                client.post(
                    "/create_session",
                    content=pieces(),
                    headers={**headers, "Content-Length": "900"},
                )
            )
            reply = None
            for _ in range(100):
                reply = await client.post("/telemetry", content=b" " * 900, headers=headers)
                if reply.status_code == 429:
                    break
                await asyncio.sleep(0.02)
            slow.set()
            assert reply is not None
            assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
            assert (await first).status_code == 200
            again = await client.post("/telemetry", content=b" " * 900, headers=headers)
            assert again.status_code == 200

    asyncio.run(scenario())


def test_a_training_request_far_ahead_waits_and_says_for_which(small, tiny, monkeypatch):
    from training.engine.protocol import routes

    monkeypatch.setattr(routes, "POLL_S", 0.05)
    model = small.client().create_lora_training_client(str(tiny), rank=2).result()
    step = {"model_id": model.model_id, "adam_params": {}}
    told = [small.post("/optim_step", {**step, "seq_id": n}) for n in (3, 4, 5)]
    assert [reply.status_code for reply in told] == [200, 200, 429]
    reply = small.post("/retrieve_future", {"request_id": told[0].json()["request_id"]})
    assert reply.status_code == 408
    assert reply.json()["queue_state"] == "paused_capacity"
    assert "waiting for request 1 of" in reply.json()["queue_state_reason"]
