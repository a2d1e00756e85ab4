"""A forward pass leaves its graph for the backward pass of the same sequences, and nothing else."""

import numpy as np
import pytest
import torch

from training.engine.compute import kept_graphs
from training.engine.compute.base import BaseModel
from training.engine.compute.training import TrainModel
from training.engine.messages import AdamParams, Datum, LoraChoice

STEP = AdamParams(learning_rate=0.01)


@pytest.fixture(scope="module")
def base(tiny):
    return BaseModel(tiny)


def sequences(seed: int, weight: float = 1.0) -> list[Datum]:
    rng = np.random.default_rng(seed)
    return [
        Datum(
            rng.integers(5, 60, n),
            {
                "target_tokens": rng.integers(5, 60, n),
                "weights": np.full(n, weight, np.float32),
            },
        )
        for n in (9, 14, 14, 30)
    ]


def model(base, stepped: bool = True) -> TrainModel:
    made = TrainModel.create(base, LoraChoice(rank=4, alpha=8.0, seed=3))
    if stepped:
        run(made, sequences(0), backward=True)
        made.optim_step(STEP)
    return made


def run(of: TrainModel, data: list[Datum], *, backward: bool):
    *_, result = of.forward_backward(data, "cross_entropy", {}, backward=backward)
    return result


def counted(of: TrainModel, monkeypatch) -> list[int]:
    seen: list[int] = []
    plain = of._logprobs
    monkeypatch.setattr(of, "_logprobs", lambda part: seen.append(len(part)) or plain(part))
    return seen


def test_gradients_are_the_same_to_the_bit_and_the_model_runs_once(base, monkeypatch):
    asked, alone = model(base), model(base)
    seen = counted(asked, monkeypatch)
    told = run(asked, sequences(1, 0.0), backward=False)
    passes = len(seen)
    again = run(asked, sequences(1, -0.7), backward=True)
    assert len(seen) == passes, "what the forward pass computed was used"
    plain = run(alone, sequences(1, -0.7), backward=True)
    assert torch.equal(asked.lora.grad, alone.lora.grad) and asked.lora.grad.abs().max() > 0
    for one, two, three in zip(told.logprobs, again.logprobs, plain.logprobs, strict=True):
        assert np.array_equal(one, two) and np.array_equal(one, three)
    run(asked, sequences(1, -0.7), backward=True)
    assert len(seen) == 2 * passes, "a graph is used once"


def test_other_sequences_a_step_or_no_step_yet_leave_nothing_to_use(base, monkeypatch):
    asked = model(base)
    seen = counted(asked, monkeypatch)
    run(asked, sequences(1), backward=False)
    passes = len(seen)
    run(asked, sequences(2), backward=True)
    assert len(seen) == 2 * passes
    run(asked, sequences(1), backward=False)
    asked.optim_step(STEP)
    run(asked, sequences(1), backward=True)
    assert len(seen) == 4 * passes
    fresh = model(base, stepped=False)
    seen = counted(fresh, monkeypatch)
    run(fresh, sequences(1), backward=False)
    run(fresh, sequences(1), backward=True)
    assert len(seen) == 2 * passes, "a model that only answers keeps nothing"


def test_what_would_hold_too_much_is_not_kept(base, monkeypatch):
    monkeypatch.setattr(kept_graphs, "MOST_BYTES", 1000)
    asked = model(base)
    seen = counted(asked, monkeypatch)
    run(asked, sequences(1), backward=False)
    passes = len(seen)
    run(asked, sequences(1), backward=True)
    assert len(seen) == 2 * passes
