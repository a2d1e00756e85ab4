"""Annotators and checks say what the judgments say, and why they cannot say more."""

import random

import pytest

from annotate_app import results
from annotate_app.annotators import people_of
from annotate_app.checks import checks_of
from db.models import Verdict
from db.repeat_answers import Twice
from tests.annotate_app.test_results import World


def crowd(pull=0.0, rounds=60):
    """Six who follow the ranking a > b > c, one who tosses coins, one against; all pairs, often."""
    chance = random.Random(5)
    rows = []
    for number in range(rounds):
        for pair, (one, other) in enumerate((("a", "b"), ("b", "c"), ("a", "c"))):
            for who in range(8):
                placement = chance.choice((1, -1))
                first_wins = chance.random() < {6: 0.5, 7: 0.15}.get(who, 0.85)
                if chance.random() < pull:
                    first_wins = placement > 0
                verdict = "a" if first_wins else "b"
                rows.append(
                    (one, other, verdict, f"ann{who}", placement, "human", number * 3 + pair)
                )
    return World(*rows)


def checks(world):
    """The checks of a world's one persona."""
    section = results.section("p", world.packed, world.tables)
    return checks_of(world.packed, world.tables, section)


def test_the_least_reliable_come_first_and_are_told_apart():
    world = crowd()
    people = people_of(world.packed, world.tables, {})
    assert list(people.table["annotator"][:2]) == ["ann7", "ann6"]
    standing = dict(zip(people.table["annotator"], people.table["standing"], strict=True))
    assert standing["ann7"] == "against"
    assert standing["ann6"] == "unclear"
    assert all(standing[f"ann{who}"] == "follows" for who in range(6))
    assert not people.refusal
    assert people.alpha is not None
    row = people.table.set_index("annotator").loc["ann0"]
    assert row["agreement_low"] < row["agreement"] < row["agreement_high"]
    assert row["n"] == 180


def test_gold_is_counted_where_there_is_some():
    world = crowd(rounds=4)
    who = next(each for each, name in world.tables.annotators.items() if name == "ann0")
    table = people_of(world.packed, world.tables, {who: (2, 3)}).table.set_index("annotator")
    row = table.loc["ann0"]
    assert (row["gold"], row["gold_n"]) == (pytest.approx(2 / 3), 3)
    assert row["gold_low"] < row["gold"] < row["gold_high"]
    assert table.drop("ann0")["gold_n"].sum() == 0
    assert table.drop("ann0")["gold"].isna().all()


def test_the_same_answer_given_twice_is_counted_with_its_interval():
    world = crowd(rounds=4)
    who = next(each for each, name in world.tables.annotators.items() if name == "ann1")
    answers = [Twice(who, Verdict.A, Verdict.A, 1)] * 3 + [Twice(who, Verdict.A, Verdict.B, 1)]
    table = people_of(world.packed, world.tables, {}, answers).table.set_index("annotator")
    row = table.loc["ann1"]
    assert (row["again"], row["again_n"]) == (0.75, 4)
    assert row["again_low"] < 0.75 < row["again_high"]
    assert table.loc["ann0", "again_n"] == 0


def test_judgments_of_one_adapter_alone_give_no_reliability_and_say_so():
    world = World(*[("a", "a", "a", f"ann{n}", 1, "human", n % 3) for n in range(9)])
    people = people_of(world.packed, world.tables, {})
    assert people.refusal
    assert people.table["reliability"].isna().all()
    assert people.table["n"].sum() == 9


def test_automatic_judges_are_compared_with_people():
    rows = [("a", "b", "a", "ada", 1, "human", n) for n in range(6)]
    rows += [("a", "b", "a" if n else "b", "judge", 1, "automatic", n) for n in range(6)]
    rows += [("a", "b", "b", who, 1, kind, 9) for who, kind in
             (("ada", "human"), ("judge", "automatic"))]  # fmt: skip
    world = World(*rows)
    people = people_of(world.packed, world.tables, {})
    assert people.automatic is not None
    assert people.automatic.units == 7


def test_the_pull_of_the_place_is_found_where_there_is_one():
    calm, pulled = checks(crowd()), checks(crowd(pull=0.5))
    place = pulled.pulls.set_index("label").loc["Response A, shown first"]
    assert place["ci_low"] > 0.5
    place = calm.pulls.set_index("label").loc["Response A, shown first"]
    assert place["ci_low"] < 0.5 < place["ci_high"]
    assert len(pulled.places) == 12
    assert pulled.places["n"].sum() == 60 * 3 * 8


def test_the_longer_response_is_the_one_with_more_letters():
    world = World(*[("a", "b", "b", f"ann{n % 6}") for n in range(30)])  # b has 60, a 40 letters
    longer = checks(world).pulls.set_index("label").loc["The longer response"]
    assert longer["value"] == 1.0
    assert longer["n"] == 30


def test_drift_needs_adapters_that_were_judged_early_and_late():
    early = World(*[("a", "b", "ab"[n % 3 == 0], f"ann{n % 6}") for n in range(30)])
    late = World(*[("b", "c", "ab"[n % 3 == 0], f"ann{n % 6}") for n in range(30)])
    both = early + late
    for place, row in enumerate(both.rows):
        row[0] = row[0].replace(minute=place % 60)
    told = checks(both)
    assert told.drift.empty or set(told.drift["item"]) <= {"a", "b", "c"}
    for place, row in enumerate(both.rows):
        row[0] = row[0].replace(hour=place // 30)
    told = checks(both)
    assert told.drift.empty
    assert "both halves" in told.drift_why


def test_drift_is_seen_where_taste_turned():
    rows = [("a", "b", "ab"[n % 5 == 0], f"ann{n % 6}") for n in range(100)]
    rows += [("a", "b", "ba"[n % 5 == 0], f"ann{n % 6}") for n in range(100)]
    world = World(*rows)
    for place, row in enumerate(world.rows):
        row[0] = row[0].replace(hour=place // 20, minute=place % 60)
    told = checks(world)
    assert told.drift_p < 0.001
    assert set(told.drift["item"]) == {"a", "b"}
    half = told.drift["value"] - told.drift["ci_low"]
    se = (told.drift["value"] / told.drift["z"]).abs()
    assert half.to_numpy() == pytest.approx(2.5706 * se.to_numpy(), rel=1e-3)  # t, 5 degrees


@pytest.mark.parametrize("rows", [[], [("a", "b", "both_bad", "x")]])
def test_nothing_to_check_raises_nothing(rows):
    world = World(*rows)
    if not rows:
        assert results.analyse(world.packed, world.tables).sections == ()
        return
    told = checks(world)
    assert told.pulls.empty
    assert told.drift_why
