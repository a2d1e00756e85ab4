"""A win rate from sums over clusters is the one from the judgments themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preference import InputError, win_rates
from preference.grouped_rate import ClusterSums, clustered_rate

JUDGED = st.lists(
    st.lists(st.sampled_from(["a", "b", "tie", "both_bad"]), min_size=1, max_size=5),
    min_size=1,
    max_size=30,
)


def sums(clusters):
    total = ClusterSums(0, 0, 0, 0, 0, 0)
    for verdicts in clusters:
        s = verdicts.count("a") + verdicts.count("tie") / 2
        n = len(verdicts) - verdicts.count("both_bad")
        total += ClusterSums(s, n, s * s, s * n, n * n, int(n > 0))
    return total


@settings(max_examples=200, deadline=None)
@given(JUDGED)
def test_sums_give_what_the_judgments_give(clusters):
    verdict = [each for verdicts in clusters for each in verdicts]
    place = [number for number, verdicts in enumerate(clusters) for _ in verdicts]
    total = sums(clusters)
    if total.weight == 0:
        with pytest.raises(InputError):
            clustered_rate(total)
        return
    want = win_rates(["x"] * len(verdict), ["y"] * len(verdict), verdict, cluster=np.array(place))
    got = clustered_rate(total)
    assert got.value == pytest.approx(want.value[0])
    assert got.ci_low == pytest.approx(want.ci_low[0], abs=1e-9)
    assert got.ci_high == pytest.approx(want.ci_high[0], abs=1e-9)


def test_five_who_agree_on_each_pair_count_less_than_five_times_as_many_pairs():
    agreeing = clustered_rate(sums([["a"] * 5] * 6 + [["b"] * 5] * 4))
    apart = clustered_rate(sums([["a"]] * 30 + [["b"]] * 20))
    assert agreeing.value == apart.value
    assert agreeing.ci_high - agreeing.ci_low > 1.8 * (apart.ci_high - apart.ci_low)


def test_a_level_that_is_none_is_refused():
    with pytest.raises(InputError):
        clustered_rate(sums([["a"]]), ci=95)
