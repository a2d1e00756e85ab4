"""The dashboards' numbers are those of the judgments, and refusals are kept as words."""

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest

from annotate_app import results
from annotate_app.head_to_head import head_to_head
from db import blocks
from db.judgments import Tables, columns_of
from preference.report import build_columns

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class World:
    """Judgments as the dashboards get them, and the tables they point into."""

    def __init__(self, *rows, persona="p", batch=1):
        """Rows of (item_a, item_b, verdict, annotator[, placement[, kind[, comparison]]])."""
        self.kinds, self.rows = {}, []
        for place, row in enumerate(rows):
            a, b, verdict, annotator, *rest = row
            placement, kind, comparison = [*rest, *[1, "human", place][len(rest) :]]
            self.kinds[annotator] = kind
            strength = 1 if verdict in ("a", "b") else None
            self.rows.append(
                [
                    *(
                        NOW + timedelta(seconds=place),
                        comparison,
                        batch,
                        place,
                        annotator,
                        None,
                        40,
                        60,
                    ),
                    *(a, b, persona, verdict, placement, strength, 1.0),
                ]
            )

    def __add__(self, other):
        both = World()
        both.kinds, both.rows = self.kinds | other.kinds, self.rows + other.rows
        return both

    @property
    def names(self):
        return sorted(self.kinds)

    @property
    def packed(self):
        ids = {name: place for place, name in enumerate(self.names)}
        rows = [
            (number, *row[:4], ids[row[4]], *row[5:]) for number, row in enumerate(self.rows, 1)
        ]
        return blocks.packed_of(rows)

    @property
    def tables(self):
        batches = {row[2] for row in self.rows}
        return Tables(
            annotators=dict(enumerate(self.names)),
            kinds={place: self.kinds[name] for place, name in enumerate(self.names)},
            batches={batch: f"batch {batch}" for batch in batches},
            batch_kinds=dict.fromkeys(batches, "blind"),
            rounds={batch: batch for batch in batches},
        )


def judgments(*rows, persona="p", batch=1):
    """A world of rows."""
    return World(*rows, persona=persona, batch=batch)


def section_of(world, persona="p"):
    """The numbers of a world's one persona."""
    return results.section(persona, world.packed, world.tables)


def analysis_of(world):
    """The numbers of all of a world's personas."""
    return results.analyse(world.packed, world.tables)


def wins(a, b, n, m, ties=0):
    """n judgments for a, m for b and some ties, spread over six annotators and both places."""
    rows = []
    for verdict, times in (("a", n), ("b", m), ("tie", ties)):
        rows += [(a, b, verdict, f"ann{i % 6}", 1 if i % 2 else -1) for i in range(times)]
    return rows


def test_ratings_and_win_rates_are_those_of_the_counts():
    section = section_of(judgments(*wins("new", "old", 30, 10)))
    (island,) = section.islands
    assert list(island.items["item"]) == ["new", "old"]
    top = island.items.iloc[0]
    assert top["win_rate"] == pytest.approx(0.75)
    assert top["wins"] == 30
    assert top["losses"] == 10
    # two items: rating gap is the log-odds of the win rate, centred at zero
    assert top["rating"] == pytest.approx(0.549306, abs=2e-2)
    gap = island.gaps.set_index(["item", "opponent"]).loc[("new", "old"), "value"]
    assert gap == pytest.approx(2 * top["rating"])
    assert section.n == 40
    assert section.ranked == 40


def test_a_pair_reads_the_same_from_both_sides():
    section = section_of(judgments(*wins("new", "old", 30, 10, 4)))
    pairs = section.pairs.set_index("item")
    assert pairs.loc["new", "win_rate"] + pairs.loc["old", "win_rate"] == pytest.approx(1)
    assert pairs.loc["new", "ci_low"] + pairs.loc["old", "ci_high"] == pytest.approx(1)
    assert pairs.loc["new", "n"] == 44


def test_items_never_compared_get_scales_of_their_own():
    section = section_of(judgments(*wins("a", "b", 8, 4), *wins("c", "d", 3, 6)))
    assert section.disconnected
    assert [sorted(island.items["item"]) for island in section.islands] == [["a", "b"], ["c", "d"]]
    for island in section.islands:
        assert not island.refusal
        assert island.items["rating"].sum() == pytest.approx(0, abs=1e-9)


def test_an_undefeated_item_is_held_finite_and_said_so():
    section = section_of(judgments(*wins("best", "other", 7, 0)))
    (island,) = section.islands
    assert island.items["rating"].abs().max() < 10
    assert any("never lost or never won" in note for note in section.notes)


def test_comparisons_of_one_adapter_with_itself_rank_nothing():
    section = section_of(judgments(*wins("same", "same", 5, 5)))
    assert section.islands == ()
    assert section.same == 10
    assert section.ranked == 0


def test_what_ranks_something_comes_before_what_ranks_nothing():
    alone = judgments(*wins("same", "same", 5, 5), persona="a")
    ranked = judgments(*wins("new", "old", 8, 4), persona="b")
    found = analysis_of(alone + ranked)
    assert [each.persona for each in found.sections] == ["b", "a"]


def test_the_lead_of_the_first_carries_its_interval():
    (island,) = section_of(judgments(*wins("new", "old", 30, 10))).islands
    low, high = island.lead
    assert 0 < low < island.gaps.iloc[0]["value"] < high


def test_only_both_bad_gives_a_reason_and_no_number():
    rows = [("a", "b", "both_bad", f"ann{i}") for i in range(4)]
    section = section_of(judgments(*rows))
    assert section.both_bad == 4
    assert all(island.refusal for island in section.islands)


def test_only_ties_rate_both_alike():
    section = section_of(judgments(*wins("a", "b", 0, 0, 9)))
    (island,) = section.islands
    assert not island.refusal
    assert island.items["rating"].abs().max() < 1e-6


def test_the_pull_of_the_place_counts_response_a():
    rows = [("a", "b", "a", f"ann{i % 6}", 1) for i in range(9)]  # shown first, won
    rows += [("a", "b", "a", "ann1", -1)]  # shown second, won: Response B
    bias = section_of(judgments(*rows)).report.bias
    assert bias["first_place_win_rate"] == pytest.approx(0.9)
    assert bias["n"] == 10


def test_agreement_needs_two_annotators_of_one_comparison():
    alone = section_of(judgments(("a", "b", "a", "x"), ("a", "b", "b", "y")))
    assert alone.alpha is None
    assert "no comparison was judged twice" in alone.alpha_why
    rows = []
    for number in range(12):
        verdict = "a" if number % 2 else "b"
        rows += [("a", "b", verdict, who, 1, "human", number) for who in ("x", "y")]
    agreed = section_of(judgments(*rows))
    assert agreed.alpha is not None
    assert agreed.alpha.value == pytest.approx(1.0)
    assert agreed.alpha.units == 12


def test_simulated_judgments_are_counted():
    rows = [("a", "b", "a", "bot", 1, "simulated"), ("a", "b", "b", "ada", 1, "human")]
    assert section_of(judgments(*rows)).simulated == 1


def test_sections_go_by_persona_with_the_homeless_last():
    analysis = analysis_of(
        judgments(*wins("a", "b", 3, 2), persona=None)
        + judgments(*wins("c", "d", 3, 2), persona="z")
        + judgments(*wins("e", "f", 3, 2), persona="m")
    )
    assert [section.persona for section in analysis.sections] == ["m", "z", None]
    assert analysis.n == 15


def test_an_empty_ledger_has_no_section():
    assert analysis_of(judgments()).sections == ()


def test_a_round_is_judged_by_its_own_blind_judgments_alone():
    world = judgments(*wins("new", "old", 12, 4), batch=1) + judgments(
        *wins("new", "old", 0, 9), batch=2
    )
    view = {"persona": "p", "state": "blind", "incumbent": "old", "challenger": "new"}
    one = SimpleNamespace(number=1, blind_batch=1, **view)
    none_yet = SimpleNamespace(number=3, blind_batch=3, **view)
    table = results.blind_table(world.packed, world.tables, [one, none_yet])
    assert table.loc[0, "win_rate"] == pytest.approx(0.75)
    assert table.loc[0, "n"] == 16
    assert table.loc[0, "ci_low"] < 0.75 < table.loc[0, "ci_high"]
    assert table.loc[1, "n"] == 0
    assert pd.isna(table.loc[1, "win_rate"])


def test_the_interval_is_the_gates_own():
    from training.evaluation.gate import win_rate_over

    world = judgments(*wins("new", "old", 25, 12, 5), ("new", "old", "both_bad", "ann1"))
    frame = pd.DataFrame(
        [[row[8], row[9], row[11], row[4]] for row in world.rows],
        columns=["item_a", "item_b", "verdict", "annotator"],
    )
    gate = win_rate_over(frame, "new", "old")
    shown = results.versus(columns_of(world.packed, world.tables), "new")
    assert shown["win_rate"] == pytest.approx(gate.value)
    assert shown["ci_low"] == pytest.approx(gate.ci_low)
    assert shown["ci_high"] == pytest.approx(gate.ci_high)


def test_row_order_changes_nothing():
    world = judgments(*wins("a", "b", 9, 5, 2), *wins("b", "c", 7, 6), *wins("a", "c", 8, 3))
    first = section_of(world)
    random.Random(3).shuffle(world.rows)
    second = section_of(world)
    pd.testing.assert_frame_equal(first.islands[0].items, second.islands[0].items)


def test_the_page_shows_the_numbers_of_the_report():
    world = judgments(*wins("a", "b", 9, 5, 2), *wins("b", "c", 7, 6), *wins("a", "c", 8, 3))
    (island,) = section_of(world).islands
    told = build_columns(columns_of(world.packed, world.tables))
    assert [item.item for item in told.items] == list(island.items["item"])
    for item, (_, row) in zip(told.items, island.items.iterrows(), strict=True):
        assert (item.rating, item.ci_low, item.ci_high) == tuple(
            row[["rating", "ci_low", "ci_high"]]
        )
    assert set(island.items["rank"]) <= {"1", "2", "3", "1 to 2", "2 to 3", "1 to 3"}


def test_one_pair_is_told_from_the_side_that_was_asked_for():
    world = judgments(*wins("new", "old", 30, 10, 2)) + judgments(
        *[("old", "new", "b", f"ann{i % 6}") for i in range(6)]
    )
    told = head_to_head(world.packed, world.tables, "new", "old")
    back = head_to_head(world.packed, world.tables, "old", "new")
    plain, other = told.rates.iloc[0], back.rates.iloc[0]
    assert plain["value"] == pytest.approx((36 + 1) / 48)
    assert plain["value"] + other["value"] == pytest.approx(1)
    assert plain["ci_low"] + other["ci_high"] == pytest.approx(1)
    assert "beats" in told.finding("new", "old")
    assert "loses" in back.finding("old", "new")


def test_one_pair_says_why_it_has_no_answer():
    world = judgments(*wins("new", "old", 30, 10))
    told = head_to_head(world.packed, world.tables, "new", "old").rates.set_index("label")
    assert "every length difference is the same" in told.loc["At equal length", "why"].lower()
    assert "6 annotators are too few" in told.loc["Looked at any time", "why"]
    nobody = head_to_head(world.packed, world.tables, "new", "stranger")
    assert nobody.n == 0
    assert "nobody has judged" in nobody.finding("new", "stranger").lower()
    bad = judgments(("a", "b", "both_bad", "x"))
    assert head_to_head(bad.packed, bad.tables, "a", "b").both_bad == 1
