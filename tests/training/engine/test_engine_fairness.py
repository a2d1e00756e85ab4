"""Who waits for whom, counted in decoding steps.

Every step and micro-batch takes 10 ms by the clock that the worker is given, so nothing here
depends on how fast the machine is.
"""

import numpy as np
import pytest
from sdk_values import tokens

from training.engine.compute import lanes
from training.engine.compute.models import Models
from training.engine.compute.sampling import Cohort, sample_now
from training.engine.compute.sharing import Room
from training.engine.compute.training import TrainModel
from training.engine.compute.worker import Worker
from training.engine.messages import Datum, LoraChoice, SampleRequest, SamplingParams

COLUMN_BYTES = 2 * 2 * 2 * 8 * 4
"""Keys and values of a position in the tiny model."""
PROMPT = 5
LONG = 60
"""New tokens of each candidate."""
CHAT = 20


@pytest.fixture
def worker(base, tmp_path, monkeypatch):
    """A worker that is driven by hand, with room for some twenty candidates at once."""
    made = Worker(
        Models(base, tmp_path / "parked", 1 << 30),
        kv_budget_bytes=20 * (PROMPT + LONG) * COLUMN_BYTES,
        clock=lambda: made.ticks / 100,
    )
    made.ticks = made.steps = 0
    step, logprobs = Cohort.step, TrainModel._logprobs

    def counted_step(cohort):
        made.ticks += 1
        made.steps += 1
        return step(cohort)

    def counted_logprobs(model, part):
        made.ticks += 1
        return logprobs(model, part)

    monkeypatch.setattr(Cohort, "step", counted_step)
    monkeypatch.setattr(TrainModel, "_logprobs", counted_logprobs)
    return made


def wanted(owner, n=1, new=LONG, seed=0):
    params = SamplingParams(max_tokens=new, seed=seed, stop_at_eos=False)
    return SampleRequest("", np.array(tokens(seed, PROMPT)), n, params, owner=owner)


def ask(worker, request, answers):
    def done(value, error):
        answers.append((value, error, worker.steps))

    return worker.sample(request, done)


def steps_until(worker, answers, count=1, limit=3000):
    """Decoding steps from now until so many answers are there."""
    before = worker.steps
    while len(answers) < count:
        worker.turn()
        assert worker.steps - before < limit, "nobody answered"
    assert not [error for _, error, _ in answers if error]
    return worker.steps - before


@pytest.mark.parametrize("shape", ["one request for 1,000", "1,000 requests"])
def test_a_chat_after_a_thousand_candidates_takes_twice_its_own_steps(worker, shape):
    candidates, chat = [], []
    bulk = [(1000, 0)] if shape.startswith("one") else [(1, seed) for seed in range(1000)]
    for n, seed in bulk:
        ask(worker, wanted("candidates", n, seed=seed), candidates)
    for _ in range(3):
        worker.turn()
    ask(worker, wanted("chat", new=CHAT), chat)
    assert steps_until(worker, chat) <= 2 * CHAT + 8
    assert not candidates
    alone = sample_now(worker.base, [wanted("chat", new=CHAT)])[0].sequences[0]
    assert chat[0][0].sequences[0].tokens.tolist() == alone.tokens.tolist()


def test_a_chat_of_the_very_client_that_asked_for_a_thousand_waits_for_one_candidate(worker):
    candidates, chat = [], []
    for seed in range(1000):
        ask(worker, wanted("me", seed=seed), candidates)
    for _ in range(3):
        worker.turn()
    ask(worker, wanted("me", new=CHAT), chat)
    assert steps_until(worker, chat) <= LONG + CHAT + 2 * lanes.ABSORB_EVERY
    assert len(candidates) < 60


def test_many_chats_beside_a_thousand_candidates_all_get_their_turn(worker):
    candidates, chats = [], []
    ask(worker, wanted("candidates", 1000), candidates)
    worker.turn()
    for i in range(30):
        ask(worker, wanted(f"chat {i}", new=CHAT, seed=i), chats)
    # A part of the room is theirs: 25 columns each, 325 columns, so 13 at a time at the least.
    assert steps_until(worker, chats, 30) <= 2 * (3 * CHAT + 3 * lanes.ABSORB_EVERY)
    assert not candidates


def test_two_clients_with_bulk_get_on_alike(worker):
    first, second = [], []
    for seed in range(300):
        ask(worker, wanted("first", seed=seed), first)
    worker.turn()
    for seed in range(300):
        ask(worker, wanted("second", seed=seed), second)
    steps_until(worker, second, 60)
    assert 60 <= len(first) <= 110
    assert steps_until(worker, first, 120) <= 7 * LONG


def test_of_one_clients_requests_the_oldest_gets_on_while_newer_ones_keep_coming(worker):
    oldest, newer = [], []
    for seed in range(200):
        ask(worker, wanted("me", new=CHAT, seed=seed), oldest if seed < 40 else newer)
    while len(oldest) < 40:
        worker.turn()
        ask(worker, wanted("me", new=CHAT, seed=worker.steps), newer)
        assert worker.steps < 400, "the oldest starve"


def test_a_burst_of_one_client_ends_in_one_batch_though_its_first_came_alone(worker):
    answers = []
    ask(worker, wanted("me"), answers)
    worker.turn()
    for seed in range(1, 20):
        ask(worker, wanted("me", seed=seed), answers)
    assert steps_until(worker, answers, 20) <= LONG + 2 * lanes.ABSORB_EVERY


def test_training_goes_on_during_a_long_generation_and_the_generation_during_training(worker):
    generation, trained = [], []
    ask(worker, wanted("long", n=3, new=400), generation)
    for _ in range(3):
        worker.turn()
    worker.submit("m", lambda models: models.create("m", LoraChoice(4, 8.0)), lambda *_: None)
    data = [
        Datum(
            np.array(tokens(i, 300)),
            {"target_tokens": np.array(tokens(i, 300)), "weights": np.ones(300, np.float32)},
        )
        for i in range(60)
    ]
    worker.submit(
        "m",
        lambda models: models.get("m").forward_backward(data, "cross_entropy", {}, backward=True),
        lambda value, error: trained.append((value, error, worker.steps)),
    )
    # Twenty micro-batches of three sequences, half of the time each.
    assert 8 <= steps_until(worker, trained) <= 30
    assert not generation
    assert steps_until(worker, generation) <= 400


def test_long_prompts_are_read_in_pieces_where_others_wait(worker, monkeypatch):
    """A token takes a millisecond: alone, a second's worth is read at once, else a quarter's."""
    read = []
    prefill = Cohort._prefill

    def slow(cohort, rows):
        tokens = sum(len(task.request.prompt) for task in {row.task for row in rows})
        read.append(tokens)
        worker.ticks += tokens / 10
        prefill(cohort, rows)

    monkeypatch.setattr(Cohort, "_prefill", slow)
    worker._lanes._columns = 10**6
    answers, chat = [], []
    for seed in range(30):
        params = SamplingParams(max_tokens=30, seed=seed, stop_at_eos=False)
        long = SampleRequest("", np.array(tokens(seed, 400)), 1, params, owner="bulk")
        ask(worker, long, answers)
    worker.turn()
    assert read == [8400], "nothing is known yet of how long a token takes"
    while len(read) < 2:
        worker.turn()
    assert read[1:] == [1200], "a second's worth, up to a whole prompt"
    ask(worker, wanted("chat", new=CHAT), chat)
    while len(read) < 4:
        worker.turn()
    assert sorted(read[2:4]) == [PROMPT, 400], "a quarter's worth, up to a whole prompt"


def test_a_request_that_cannot_be_read_fails_alone(worker, monkeypatch):
    good, bad, later = [], [], []
    ask(worker, wanted("good"), good)
    worker.turn()
    prefill = Cohort._prefill

    def full(cohort, rows):
        if rows[0].task.request.owner == "bad":
            raise MemoryError("no room for this prompt")
        prefill(cohort, rows)

    monkeypatch.setattr(Cohort, "_prefill", full)
    ask(worker, wanted("bad", n=30), bad)
    while not bad:
        worker.turn()
    ask(worker, wanted("later"), later)
    steps_until(worker, later)
    assert isinstance(bad[0][1], MemoryError)
    assert len(bad) == len(good) == 1
    assert good[0][1] is None
    assert worker._lanes.held == 0


def test_bulk_of_one_adapter_leaves_room_to_bulk_of_another_and_memory_stays_bounded():
    room = Room(1000, bulk=900)
    assert not room.admits_bulk(200, mine=0, lanes=2), "never beyond the room"
    assert not room.admits_bulk(100, mine=900, lanes=2), "above its half while another waits"
    assert room.admits_bulk(100, mine=0, lanes=2)
    assert room.admits_bulk(100, mine=900, lanes=1)
    assert Room(10).admits_bulk(5000, mine=0, lanes=1), "alone, one goes ahead whatever its size"
    assert Room(1000, small=0, bulk=1000).admits_small(900)
    assert not Room(1000, small=200, bulk=1000).admits_small(100)
