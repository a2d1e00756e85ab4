"""Bounds that may be looked at any time."""

import numpy as np
import pytest

from preference import InputError
from preference.length_control import length_controlled_win_rate
from preference.sequential import win_rate_sequence


def test_looking_after_every_judgment_errs_less_than_five_percent_of_the_time():
    rng = np.random.default_rng(0)
    wrong = naive = 0
    for _ in range(200):
        verdict = rng.choice(3, 400, p=[0.4, 0.4, 0.2]).astype(np.uint8)
        s = win_rate_sequence(verdict)
        wrong += bool((s.lows > 0.5).any() or (s.highs < 0.5).any())
        x = np.array([1.0, 0.0, 0.5])[verdict]
        n = np.arange(1, 401)
        mean = np.cumsum(x) / n
        half = 1.96 * np.sqrt(np.maximum(np.cumsum(x**2) / n - mean**2, 0) / n)
        naive += bool((np.abs(mean - 0.5) > half)[20:].any())
    assert wrong <= 10
    assert naive > 40, "the ordinary interval, looked at as often, errs far more"


def test_a_better_challenger_is_found_and_the_evidence_says_so():
    rng = np.random.default_rng(1)
    verdict = rng.choice(["a", "b", "tie"], 800, p=[0.55, 0.25, 0.2])
    s = win_rate_sequence(verdict)
    assert s.ahead and not s.behind
    assert s.ci_low < 0.65 < s.ci_high
    assert s.evidence > 20
    assert (np.diff(s.lows) >= 0).all() and (np.diff(s.highs) <= 0).all()


def test_the_challenger_may_be_on_either_side():
    verdict = ["a", "b", "a", "tie", "both_bad"]
    side = ["a", "b", "a", "b", "a"]
    s = win_rate_sequence(verdict, challenger=side)
    assert s.n == 4
    assert s.value == pytest.approx(3.5 / 4)
    with pytest.raises(InputError, match="challenger 'c' at index 0"):
        win_rate_sequence(["a"], challenger=["c"])


def test_a_sequence_is_wider_than_one_planned_interval_but_not_by_much():
    rng = np.random.default_rng(2)
    verdict = rng.integers(0, 2, 1000).astype(np.uint8)
    s = win_rate_sequence(verdict)
    planned = 2 * 1.96 * 0.5 / np.sqrt(1000)
    assert planned < s.ci_high - s.ci_low < 2.2 * planned


def test_few_annotators_give_no_bounds_and_say_why():
    s = win_rate_sequence(["a"] * 30, cluster=[1, 2, 3] * 10)
    assert (s.ci_low, s.ci_high) == (0, 1)
    assert "3 annotators are too few" in s.explanation


@pytest.mark.parametrize(
    ("verdicts", "annotators", "bounds", "words"),
    [
        ([], None, (0, 1), "no judgment yet"),
        (["both_bad"] * 3, None, (0, 1), "every judgment found both bad"),
        (["both_bad"] * 3, [1, 2, 3], (0, 1), "every judgment found both bad"),
        (["a"], None, (0, 1), None),
        (["tie"], None, (0, 1), None),
        (["a"] * 50, [1] * 50, (0, 1), "one annotator is too few"),
        (["a"] * 50, list(range(5)) * 10, (0, 1), "5 annotators are too few"),
        (["a"] * 500, None, (0.98, 1), None),
        (["tie"] * 500, None, (0.48, 0.52), None),
        (["a"] * 50, list(range(10)) * 5, (0.6, 1), "each counts as one judgment"),
        (["tie"] * 50, list(range(10)) * 5, (0.2, 0.8), "each counts as one judgment"),
        (["a"] * 499 + ["b"], list(range(20)) * 25, (0.85, 1), None),
    ],
)
def test_every_edge_has_bounds_no_surer_than_its_judgments(verdicts, annotators, bounds, words):
    s = win_rate_sequence(verdicts, cluster=annotators)
    assert bounds[0] - 0.1 <= s.ci_low <= bounds[0] + 0.1
    assert bounds[1] - 0.1 <= s.ci_high <= bounds[1]
    assert (s.explanation is None) == (words is None)
    assert words is None or words in s.explanation
    if len(verdicts) < 3 or "tie" in verdicts:
        assert not s.ahead and not s.behind


def test_clustered_bounds_hold_while_annotators_keep_coming():
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        taste = 1 / (1 + np.exp(-rng.normal(0, 1, 60)))
        who = np.repeat(np.arange(60), 10)
        v = (rng.random(600) > taste[who]).astype(np.uint8)
        looks = [win_rate_sequence(v[:n], cluster=who[:n]) for n in range(150, 601, 50)]
        wrong += any(s.ahead or s.behind for s in looks)
    assert wrong / 200 < 0.05


# --- length control -------------------------------------------------------------------------------


def test_length_control_recovers_the_win_rate_at_equal_length():
    rng = np.random.default_rng(4)
    n = 20_000
    a, b = rng.normal(260, 60, n), rng.normal(200, 60, n)
    lean = np.tanh((a - b) / (a - b).std())
    win = rng.random(n) < 1 / (1 + np.exp(-(-0.3 + 1.5 * lean)))
    got = length_controlled_win_rate(np.where(win, "a", "b"), a, b)
    truth = 1 / (1 + np.exp(0.3))
    assert got.raw > 0.5 > got.controlled.ci_high
    assert got.controlled.ci_low < truth < got.controlled.ci_high
    assert abs(got.effect.value - 1.5) < 4 * got.effect.se


def test_length_control_widens_with_clusters_and_refuses_what_it_cannot_answer():
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(20), 30)
    a, b = rng.normal(0, 1, 600), rng.normal(0, 1, 600)
    verdict = (rng.random(600) > 1 / (1 + np.exp(-rng.normal(0, 1.5, 20)[who]))).astype(np.uint8)
    alone = length_controlled_win_rate(verdict, a, b).controlled.se
    assert length_controlled_win_rate(verdict, a, b, cluster=who).controlled.se > 2 * alone
    from preference import SeparationError

    with pytest.raises(SeparationError, match="follow length"):
        length_controlled_win_rate(["a", "b"], [2, 1], [1, 2])
    with pytest.raises(InputError, match="every length difference is the same"):
        length_controlled_win_rate(["a", "b"], [2, 2], [1, 1])
    with pytest.raises(InputError, match="length is missing at index 1"):
        length_controlled_win_rate(["a", "b"], [2, np.nan], [1, 1])
