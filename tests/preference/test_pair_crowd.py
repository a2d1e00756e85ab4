"""Reliability from shared pairs: worked digits, simulated truth, and what says nothing."""

import numpy as np
import pytest

from preference import ConvergenceError, InputError, fit_pair_crowd, pair_crowd


def answers(reliability, pairs: int, overlap: int, seed: int):
    """Picks of simulated annotators on pairs whose better side is known: the first one."""
    chance = np.random.default_rng(seed)
    who = np.array([chance.choice(len(reliability), overlap, replace=False) for _ in range(pairs)])
    right = chance.random(who.shape) < np.asarray(reliability)[who]
    pair = np.repeat(np.arange(pairs), overlap)
    return pair, right.ravel(), who.ravel()


def test_a_pair_that_nobody_else_judged_says_nothing():
    fit = fit_pair_crowd(["p", "q", "r"], [True, True, False], [7, 7, 3])
    assert list(fit.annotators) == [3, 7]
    assert list(fit.reliability) == [0.8, 0.8]
    assert list(fit.n) == [1, 2] and list(fit.shared) == [0, 0]
    again = fit_pair_crowd(["p", "p"], [True, False], [7, 7])
    assert list(again.shared) == [0], "one annotator twice is not two annotators"


def test_three_picks_two_to_one_have_the_digits_worked_by_hand():
    """With r for the two and q for the one, z = r²(1-q) / (r²(1-q) + (1-r)²q); the fixed point of
    r = (16 + z) / 21 and q = (16 + 1 - z) / 21."""
    r = q = 0.8
    for _ in range(2000):
        z = r * r * (1 - q) / (r * r * (1 - q) + (1 - r) ** 2 * q)
        r, q = (16 + z) / 21, (17 - z) / 21
    fit = fit_pair_crowd([1, 1, 1], [True, True, False], [1, 2, 3])
    assert fit.reliability == pytest.approx([r, r, q], abs=1e-8)
    assert (r, q) == (pytest.approx(0.8014, abs=1e-4), pytest.approx(0.7700, abs=1e-4))


def test_known_reliabilities_are_found_again():
    true = [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.3]
    fit = fit_pair_crowd(*answers(true, 1500, 4, seed=3))
    assert fit.reliability == pytest.approx(true, abs=0.04)


def test_sides_pairs_and_order_are_only_names():
    pair, first, who = answers([0.9, 0.8, 0.6, 0.55], 60, 3, seed=5)
    plain = fit_pair_crowd(pair, first, who)
    order = np.random.default_rng(1).permutation(len(pair))
    turned = first ^ (pair % 2 == 0)
    mixed = fit_pair_crowd(pair[order] * 7 + 1, turned[order], who[order])
    assert mixed.reliability == pytest.approx(plain.reliability, abs=1e-7)
    assert list(mixed.shared) == list(plain.shared)


def test_wrong_values_and_estimates_that_do_not_settle_are_refused(monkeypatch):
    with pytest.raises(InputError, match="3, 2 and 1 values"):
        fit_pair_crowd([1, 1, 1], [True, False], [1])
    with pytest.raises(InputError, match="alpha above beta"):
        fit_pair_crowd([1], [True], [1], prior=(1, 2))
    monkeypatch.setattr(pair_crowd, "_MOST_ROUNDS", 3)
    with pytest.raises(ConvergenceError, match="after 3 rounds"):
        fit_pair_crowd(*answers([0.9, 0.8, 0.6], 40, 3, seed=5))
