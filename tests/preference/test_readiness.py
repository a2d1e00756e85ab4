"""The readiness gate: what refuses, what cannot be told, and how many more judgments would do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preference.effective import effective_number, more_for
from preference.errors import InputError
from preference.readiness import Evidence, Limits, assess

LIMITS = Limits()


def told(n: int, *, verdict=None, people: int = 5, first=None, **more) -> Evidence:
    """n judgments of as many comparisons of an adapter with itself, by so many people in turn."""
    verdicts = verdict or [("a", "b")[(i // 2) % 2] for i in range(n)]
    return Evidence(
        verdict=verdicts,
        annotator=[i % people for i in range(n)],
        comparison=more.pop("comparison", list(range(n))),
        placement=first or [(1, -1)[i % 2] for i in range(n)],
        weight=more.pop("weight", [1.0] * n),
        item_a=more.pop("item_a", ["x"] * n),
        item_b=more.pop("item_b", ["x"] * n),
        **more,
    )


def question(found, name):
    return next(each for each in found.questions if each.name == name)


def shared(pairs: int, alike: int, **more) -> Evidence:
    """Pairs that two people judged; of so many they say the same."""
    verdicts = []
    for number in range(pairs):
        one = ("a", "b")[number % 2]
        verdicts += [one, one if number < alike else {"a": "b", "b": "a"}[one]]
    return told(
        2 * pairs, verdict=verdicts, people=2, comparison=np.repeat(range(pairs), 2), **more
    )


def test_a_small_project_without_overlap_or_gold_is_ready_and_told_what_cannot_be_told():
    found = assess(told(40), LIMITS)
    assert found.ready and found.in_words() == "ready" and not found.refusals
    assert "cannot be told yet" in question(found, "agreement").words
    assert "cannot be told yet" in question(found, "gold").words
    assert question(found, "agreement").value is None
    assert "itself" in question(found, "graph").words


def test_nothing_at_all_refuses_nothing_here():
    assert assess(Evidence(), LIMITS).ready, "too few pairs is another refusal"


@pytest.mark.parametrize(
    ("given_", "changed", "name", "more"),
    [
        (told(8), LIMITS, "effective", None),
        (shared(40, 8), LIMITS, "agreement", None),
        (told(40, gold_right=4, gold_answers=20), LIMITS, "gold", 20),
        (told(40, verdict=["a"] * 40, first=[1] * 40), LIMITS, "position", 60),
        (told(40, item_a=["u", "x"] * 20, item_b=["v", "y"] * 20), LIMITS, "graph", 1),
        (told(40), replace(LIMITS, shared=25), "agreement", 25),
        (told(40), replace(LIMITS, gold_answers=30), "gold", 30),
    ],
)
def test_a_refusal_names_its_question_and_how_many_more_would_do(given_, changed, name, more):
    found = assess(given_, changed)
    (refusal,) = found.refusals
    assert refusal.name == name and not found.ready
    assert "wanted" in refusal.words and "would do" in refusal.words
    assert found.in_words() == refusal.words
    assert refusal.more is not None and refusal.more > 0
    assert more in (None, refusal.more) and str(refusal.more) in refusal.words


def test_as_many_more_as_were_said_are_enough_and_one_fewer_is_not():
    few = told(8)
    more = question(assess(few, LIMITS), "effective").more
    assert question(assess(told(8 + more), LIMITS), "effective").ok
    assert not question(assess(told(8 + more - 1), LIMITS), "effective").ok
    gold = told(40, gold_right=4 + 20, gold_answers=20 + 20)
    assert question(assess(gold, LIMITS), "gold").value == pytest.approx(LIMITS.gold_accuracy)
    even = told(100, verdict=["a"] * 70 + ["b"] * 30, first=[1] * 100)
    assert question(assess(even, LIMITS), "position").value == pytest.approx(0.7)
    worse = shared(40, 8)
    alike = question(assess(worse, LIMITS), "agreement").more // 2
    mended = question(assess(shared(40 + alike, 8 + alike), LIMITS), "agreement")
    assert mended.ok and mended.value >= LIMITS.agreement


def test_few_judgments_that_look_bad_by_chance_do_not_refuse():
    assert assess(told(9, verdict=["a"] * 9, first=[1] * 9), replace(LIMITS, effective=0)).ready
    assert assess(shared(9, 0), replace(LIMITS, effective=0)).ready
    assert assess(told(40, gold_right=0, gold_answers=9), LIMITS).ready


def test_judgments_of_one_person_are_worth_less_and_of_one_pair_too():
    assert effective_number([1] * 10, range(10), range(10), same_comparison=1, same_annotator=0.5) \
        == pytest.approx(10)  # fmt: skip
    one = effective_number([1] * 200, range(200), [0] * 200, same_comparison=1, same_annotator=0.02)
    assert one == pytest.approx(200 / (1 + 199 * 0.02)), "Kish's design effect 1 + (m - 1) rho"
    pairs = np.repeat(range(50), 4)
    alike = effective_number([1] * 200, pairs, range(200), same_comparison=1, same_annotator=0)
    assert alike == pytest.approx(50), "four that always agree count once"
    weights = [1.0, 2.0, 3.0]
    plain = effective_number(weights, range(3), range(3), same_comparison=0, same_annotator=0)
    assert plain == pytest.approx(36 / 14), "Kish: (sum w)^2 / sum w^2"


def test_no_number_of_judgments_by_one_person_is_worth_more_than_their_correlation_allows():
    lone = told(30, people=1)
    refused = question(assess(lone, replace(LIMITS, effective=60)), "effective")
    assert refused.more is None and "ask others too" in refused.words


@given(
    n=st.integers(1, 40),
    people=st.integers(1, 6),
    pairs=st.integers(1, 40),
    same=st.floats(0, 1),
    person=st.floats(0, 0.2),
)
def test_an_effective_number_lies_between_one_and_what_there_is(n, people, pairs, same, person):
    who, what = [i % people for i in range(n)], [i % pairs for i in range(n)]
    options = {"same_comparison": same, "same_annotator": person}
    value = effective_number([1.0] * n, what, who, **options)
    assert 0 < value <= n + 1e-9
    more = more_for(value + 3, [1.0] * n, what, who, **options)
    assert more is None or more >= 1


def test_blind_judgments_connect_adapters_and_add_none_to_be_connected():
    mixed = {"item_a": ["u", "x"] * 20, "item_b": ["v", "y"] * 20}
    assert assess(told(40, **mixed, links=[("v", "x")]), LIMITS).ready
    assert assess(told(40, **mixed, links=[("v", "z"), ("z", "y")]), LIMITS).ready
    assert assess(told(40, links=[("p", "q"), ("r", "s")]), LIMITS).ready


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="weight has 1 values where verdict has 2"):
        assess(replace(told(2), weight=[1.0]), LIMITS)
