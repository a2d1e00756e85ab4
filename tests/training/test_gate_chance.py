"""How often the gate promotes what is no better, and how often it finds what is.

Thousands of comparisons are played at once, the gate looking after every judgment; the arithmetic
that plays them is checked against the gate's own on some of them.
"""

import numpy as np
import pytest

from preference.sequential import win_rate_sequence
from training.evaluation.bounds import ENOUGH_PROMPTS, win_rate_course
from training.evaluation.forecast import forecast

CI, START = 0.95, 20
NEVER = 10**6


def judged(rng, courses, prompts, judgments, rate, alike):
    """Scores (courses, judgments) and the prompt of each: all prompts, then all again.

    ``alike`` is how far judgments of one prompt agree beyond the rate: 0 not at all, 1 entirely.
    """
    if alike == 0:
        rates = np.full((courses, prompts), rate)
    elif alike == 1:
        rates = (rng.random((courses, prompts)) < rate).astype(float)
    else:
        size = (1 - alike) / alike
        rates = rng.beta(rate * size, (1 - rate) * size, (courses, prompts))
    waves = -(-judgments // prompts)
    prompt = np.concatenate([rng.permutation(prompts) for _ in range(waves)])[:judgments]
    return (rng.random((courses, judgments)) < rates[:, prompt]).astype(float), prompt


def bet(score):
    """Bounds above one half and below it, by betting on every judgment."""
    t = np.arange(1, score.shape[1] + 1)
    mean = (0.5 + np.cumsum(score, axis=1)) / (t + 1)
    spread = (0.25 + np.cumsum((score - mean) ** 2, axis=1)) / (t + 1)
    before = np.concatenate([np.full((len(score), 1), 0.25), spread[:, :-1]], axis=1)
    stake = np.minimum(np.sqrt(2 * np.log(2 / (1 - CI)) / (before * t * np.log(t + 1))), 1.0)
    won = np.log(2 / (1 - CI))
    gap = score - 0.5
    return (
        np.cumsum(np.log1p(stake * gap), axis=1) >= won,
        np.cumsum(np.log1p(-stake * gap), axis=1) >= won,
    )


def clustered(score, prompt):
    """Bounds by prompts after every judgment: low and high ends."""
    courses, judgments = score.shape
    sums, counts = np.zeros((prompt.max() + 1, courses)), np.zeros(prompt.max() + 1)
    squares, cross, sizes, total = np.zeros(courses), np.zeros(courses), 0.0, np.zeros(courses)
    low, high = np.zeros((judgments, courses)), np.ones((judgments, courses))
    tail = -2 * np.log(1 - CI)
    for at, (place, one) in enumerate(zip(prompt, score.T, strict=True)):
        s, c = sums[place], counts[place]
        squares += (s + one) ** 2 - s**2
        cross += (s + one) * (c + 1) - s * c
        sizes += 2 * c + 1
        sums[place], counts[place] = s + one, c + 1
        total += one
        n, g = at + 1, int((counts > 0).sum())
        if g < 10:
            continue
        mean = total / n
        spread = squares - 2 * mean * cross + mean**2 * sizes + (n / g / 2) ** 2
        spent = g * (tail + np.log(tail + 1)) / 2.0 ** round(np.log2(g))
        half = np.sqrt(g / (g - 1) * spread) / n
        half *= np.sqrt((spent + 1) / spent * (np.log(spent + 1) + tail))
        low[at], high[at] = mean - half, mean + half
    return low.T, high.T


def decided(score, prompt):
    """The judgment with which each course was promoted, and rejected as worse; NEVER without."""
    once = len(np.unique(prompt))
    exact = min(once, ENOUGH_PROMPTS - 1)
    up, down = (np.zeros(score.shape, bool) for _ in range(2))
    up[:, :exact], down[:, :exact] = (
        np.logical_or.accumulate(side, axis=1) for side in bet(score[:, :exact])
    )
    low, high = clustered(score, prompt)
    up[:, exact:], down[:, exact:] = (low > 0.5)[:, exact:], (high < 0.5)[:, exact:]
    up[:, : START - 1] = down[:, : START - 1] = False
    ends = [np.where(x.any(axis=1), x.argmax(axis=1) + 1, NEVER) for x in (up, down)]
    won = ends[0] < ends[1]
    return np.where(won, ends[0], NEVER), np.where(won, NEVER, ends[1])


@pytest.mark.parametrize("alike", [0, 0.5, 1])
@pytest.mark.parametrize("prompts", [240, 110, 40, 15])
def test_looking_after_every_judgment_promotes_chance_at_most_one_time_in_twenty(prompts, alike):
    rng = np.random.default_rng([prompts, int(10 * alike)])
    score, prompt = judged(rng, 2000, prompts, 240, 0.5, alike)
    promoted, rejected = decided(score, prompt)
    assert (promoted < NEVER).mean() <= 0.05
    assert (rejected < NEVER).mean() <= 0.05


def test_two_of_three_wins_are_found_in_most_comparisons():
    rng = np.random.default_rng(65)
    score, prompt = judged(rng, 2000, 110, 240, 0.65, 0.2)
    promoted, rejected = decided(score, prompt)
    assert (promoted <= 240).mean() > 0.9, "within the most that is asked"
    assert (promoted <= 60).mean() > 0.3, "with the first batch"
    assert (rejected < NEVER).mean() < 0.01


@pytest.mark.parametrize("prompts", [120, 25])
def test_what_is_played_here_is_what_the_gate_computes(prompts):
    rng = np.random.default_rng(prompts)
    score, prompt = judged(rng, 12, prompts, 120, 0.68, 0.3)
    promoted, rejected = decided(score, prompt)
    assert 2 <= (promoted < NEVER).sum() <= 12
    for row, up, down in zip(score, promoted, rejected, strict=True):
        for n in {40, 120, min(up, 120), max(START, min(up, 121) - 1)}:
            now = win_rate_course(row[:n], prompt[:n], ["Ada"] * n, CI, START).now
            if min(up, down) == NEVER or min(up, down) > n:
                assert not now.ahead and not now.behind
            else:
                assert (now.ahead, now.behind) == (up <= n, down <= n)


def test_the_forecast_keeps_its_word():
    rng = np.random.default_rng(7)
    score, _ = judged(rng, 1, 60, 60, 0.62, 0)
    told = forecast(score[0], CI, 180)
    rates = rng.dirichlet([(score == 1).sum() + 0.5, (score == 0).sum() + 0.5], 3000)[:, :1]
    later = (rng.random((3000, 180)) < rates).astype(float)
    whole = np.concatenate([np.broadcast_to(score, (3000, 60)), later], axis=1)
    low, _ = clustered(whole, np.arange(240))
    ever = (low > 0.5)[:, 60:]
    assert told.promoted == pytest.approx(ever.any(axis=1).mean(), abs=0.05)
    by_then = ever[:, : told.more].any(axis=1).mean()
    assert told.more == 180 or by_then == pytest.approx(0.5, abs=0.12)


def test_the_forecast_is_as_wide_as_the_analyzer():
    from training.evaluation.forecast import half_width

    score = np.random.default_rng(0).choice([0.0, 0.5, 1.0], (1, 137))
    verdict = np.where(score[0] == 1, "a", np.where(score[0] == 0, "b", "tie"))
    found = win_rate_sequence(verdict, cluster=list(range(137)))
    assert found.ci_low == pytest.approx(score.mean() - half_width(score, CI)[0, -1])
