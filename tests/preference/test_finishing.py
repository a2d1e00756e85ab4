"""Time to the end of work: the range holds as often as it says, also where work comes in bursts."""

import numpy as np
import pytest

from preference.errors import InputError
from preference.finishing import time_to_finish


def test_an_even_pace_ends_when_it_must():
    told = time_to_finish(np.linspace(0, 10, 100), 50)
    assert told is not None
    assert told.hours == pytest.approx(5) and told.low < 5 < told.high
    assert told.high / told.low < 1.7 and told.span == 10


def test_bursts_make_the_range_wide():
    even = time_to_finish(np.linspace(0, 24, 60), 60)
    burst = np.concatenate([np.linspace(23, 24, 30), np.linspace(9, 10, 30)])
    bursty = time_to_finish(burst, 60)
    assert even is not None and bursty is not None
    assert bursty.high / bursty.low > 1.5 * even.high / even.low


def test_too_little_is_said_to_be_too_little():
    assert time_to_finish([], 10) is None
    assert time_to_finish(np.linspace(0, 5, 9), 10) is None
    assert time_to_finish(np.linspace(0, 0.1, 50), 10) is None
    done = time_to_finish(np.linspace(0, 5, 20), 0)
    assert done is not None and done.hours == done.high == 0


def test_the_range_holds_in_about_eight_of_ten_careers():
    """Sittings of 15 pieces, a quarter of an hour long, at random hours of 40; then 40 more."""
    dice = np.random.default_rng(11)
    held = 0
    for _ in range(600):
        sittings = dice.uniform(0, 80, dice.poisson(32))
        pieces = (sittings[:, None] + dice.uniform(0, 0.25, (len(sittings), 15))).ravel()
        past = 40 - pieces[pieces < 40]
        future = np.sort(pieces[pieces >= 40]) - 40
        told = time_to_finish(past, 120)
        if told is None or len(future) < 120:
            continue
        held += told.low <= future[119] <= told.high
    assert 0.65 < held / 600 < 0.92


def test_what_is_no_time_is_refused():
    for wrong in ([-1.0] * 12, [np.nan] * 12):
        with pytest.raises(InputError):
            time_to_finish(wrong, 3)
    with pytest.raises(InputError):
        time_to_finish([1.0] * 12, -1)
