"""Which rows a step takes and at what rate."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.schedules import batch_of, even_batches, rate, stream_of


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 9))
def test_every_epoch_takes_every_row_once_in_batches_of_nearly_one_size(count, batch, seed):
    rows = list(range(count))
    batches = even_batches(count, batch)
    for epoch in range(2):
        taken = [batch_of(rows, epoch * batches + step, batch, seed) for step in range(batches)]
        assert sorted(chain(*taken)) == rows
        sizes = {len(one) for one in taken}
        assert max(sizes) <= batch and max(sizes) - min(sizes) <= 1


def test_epochs_are_shuffled_differently_and_steps_depend_on_nothing_else():
    rows = list(range(40))
    first = [batch_of(rows, step, 8, 1) for step in range(10)]
    assert first[:5] != first[5:]
    assert [batch_of(rows, step, 8, 1) for step in reversed(range(10))] == first[::-1]


def test_the_replay_stream_goes_round_and_misses_nothing():
    rows = list(range(10))
    taken = chain(*(stream_of(rows, step, 3, 1) for step in range(10)))
    assert sorted(taken) == sorted(rows * 3)


def test_rates_warm_up_and_decay():
    linear = [rate(step, 10, 1.0, "linear", 0.2) for step in range(10)]
    assert linear[0] < linear[1] < linear[2] == 1.0
    assert linear[2:] == sorted(linear[2:], reverse=True) and 0 < linear[-1] < 0.2
    assert [rate(step, 5, 0.3, "constant", 0.0) for step in range(5)] == [0.3] * 5
    assert rate(5, 10, 1.0, "cosine", 0.0) == pytest.approx(0.5)
