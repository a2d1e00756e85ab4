"""Evidence of guessing: good annotators are left alone for a whole career, coins are found."""

import numpy as np
import pytest

from preference.errors import InputError
from preference.guessing import AT_LEAST, evidence_of_guessing

STRONG = 20.0
CAREERS = 20_000


def _first_strong(accuracy: float, golds: int = 200, before: int = 0, seed: int = 7):
    """After how many answers the evidence was strong, per career; golds + 1 where it never was."""
    dice = np.random.default_rng(seed)
    right = dice.random((CAREERS, golds)) < accuracy
    right[:, :before] = dice.random((CAREERS, before)) < 0.9
    strong = evidence_of_guessing(right) >= STRONG
    return np.where(strong.any(axis=1), strong.argmax(axis=1) + 1, golds + 1)


def test_at_the_threshold_at_most_one_career_in_twenty_is_ever_accused():
    first = _first_strong(AT_LEAST)
    share = float((first <= 200).mean())
    assert 0.005 < share <= 0.05  # not so strict either that it would never speak
    assert float((_first_strong(0.9) <= 200).mean()) < 0.001


def test_a_coin_and_who_presses_anything_are_found_within_some_tens():
    coin, anything = _first_strong(0.5), _first_strong(0.25)
    assert np.median(coin) <= 30 and np.quantile(coin, 0.9) <= 60
    assert np.median(anything) <= 10 and np.quantile(anything, 0.9) <= 15


def test_who_turns_careless_after_a_long_good_time_is_found():
    later = _first_strong(0.25, golds=200, before=100)
    assert np.median(later) <= 130


def test_the_bet_is_fair_at_the_threshold_and_loses_above_it():
    dice = np.random.default_rng(3)
    at, above = (
        evidence_of_guessing(dice.random((200_000, 12)) < each)[:, -1].mean()
        for each in (0.75, 0.8)
    )
    assert at == pytest.approx(1, abs=0.03) and above < 0.9


def test_the_worth_is_that_of_its_definition():
    right = [True, False, False, True, False, False, False]
    gains = np.where(right, 0.5 / 0.75, 0.5 / 0.25)
    worked = 0.5 * gains.prod()  # from the start
    worked += 1 / 4 * gains[3:].prod()  # j = 1, from the fourth answer on
    worked += 1 / 12 * gains[6:].prod()  # j = 2, from the seventh
    worked += 1 / 6  # what is put down later: the sum of 1/(2j(j + 1)) from j = 3
    assert evidence_of_guessing(right, every=3)[-1] == pytest.approx(worked)


def test_wrong_bounds_are_refused():
    with pytest.raises(InputError, match="guess < at_least"):
        evidence_of_guessing([True], at_least=0.4)
    with pytest.raises(InputError, match="every"):
        evidence_of_guessing([True], every=0)
