"""The dashboards' numbers are those of the judgments, and refusals are kept as words."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pandas as pd
import pytest

from annotate_app import results

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def judgments(*rows, persona="p", batch_kind="blind", round=1):
    """Rows of (item_a, item_b, verdict, annotator[, placement[, kind[, comparison]]])."""
    table = []
    for place, row in enumerate(rows):
        a, b, verdict, annotator, *rest = row
        placement, kind, comparison = [*rest, *[1, "human", place][len(rest) :]]
        table.append(
            {
                "item_a": a,
                "item_b": b,
                "verdict": verdict,
                "strength": 1 if verdict in ("a", "b") else None,
                "annotator": annotator,
                "annotator_kind": kind,
                "prompt": place,
                "persona": persona,
                "placement": placement,
                "weight": 1.0,
                "round": round,
                "batch": "b",
                "batch_kind": batch_kind,
                "comparison": comparison,
                "judgment": place,
                "created_at": NOW,
            }
        )
    return pd.DataFrame(table)


def wins(a, b, n, m, ties=0):
    """n judgments for a, m for b and some ties, spread over six annotators and both places."""
    rows = []
    for verdict, times in (("a", n), ("b", m), ("tie", ties)):
        rows += [(a, b, verdict, f"ann{i % 6}", 1 if i % 2 else -1) for i in range(times)]
    return rows


def test_ratings_and_win_rates_are_those_of_the_counts():
    section = results.section("p", judgments(*wins("new", "old", 30, 10)))
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
    section = results.section("p", judgments(*wins("new", "old", 30, 10, 4)))
    pairs = section.pairs.set_index("item")
    assert pairs.loc["new", "win_rate"] + pairs.loc["old", "win_rate"] == pytest.approx(1)
    assert pairs.loc["new", "ci_low"] + pairs.loc["old", "ci_high"] == pytest.approx(1)
    assert pairs.loc["new", "n"] == 44


def test_items_never_compared_get_scales_of_their_own():
    section = results.section("p", judgments(*wins("a", "b", 8, 4), *wins("c", "d", 3, 6)))
    assert section.disconnected
    assert [sorted(island.items["item"]) for island in section.islands] == [["a", "b"], ["c", "d"]]
    for island in section.islands:
        assert not island.refusal
        assert island.items["rating"].sum() == pytest.approx(0, abs=1e-9)


def test_an_undefeated_item_is_held_finite_and_said_so():
    section = results.section("p", judgments(*wins("best", "other", 7, 0)))
    (island,) = section.islands
    assert island.items["rating"].abs().max() < 10
    assert any("won or lost everything" in note for note in island.notes)


def test_comparisons_of_one_adapter_with_itself_rank_nothing():
    section = results.section("p", judgments(*wins("same", "same", 5, 5)))
    assert section.islands == ()
    assert section.same == 10
    assert section.ranked == 0


def test_what_ranks_something_comes_before_what_ranks_nothing():
    alone = judgments(*wins("same", "same", 5, 5), persona="a")
    ranked = judgments(*wins("new", "old", 8, 4), persona="b")
    found = results.analyse(pd.concat([alone, ranked]))
    assert [each.persona for each in found.sections] == ["b", "a"]


def test_the_lead_of_the_first_carries_its_interval():
    (island,) = results.section("p", judgments(*wins("new", "old", 30, 10))).islands
    low, high = island.lead
    assert 0 < low < island.gaps.iloc[0]["value"] < high


def test_only_both_bad_gives_a_reason_and_no_number():
    rows = [("a", "b", "both_bad", f"ann{i}") for i in range(4)]
    section = results.section("p", judgments(*rows))
    assert section.both_bad == 4
    assert all(island.refusal for island in section.islands)


def test_only_ties_rate_both_alike():
    section = results.section("p", judgments(*wins("a", "b", 0, 0, 9)))
    (island,) = section.islands
    assert not island.refusal
    assert island.items["rating"].abs().max() < 1e-6


def test_the_pull_of_the_place_counts_response_a():
    rows = [("a", "b", "a", f"ann{i % 6}", 1) for i in range(9)]  # shown first, won
    rows += [("a", "b", "a", "ann1", -1)]  # shown second, won: Response B
    share = results.section("p", judgments(*rows)).first_place
    assert share is not None
    assert share.value == pytest.approx(0.9)
    assert share.n == 10
    assert share.low < 0.9 < share.high


def test_agreement_needs_two_annotators_of_one_comparison():
    alone = results.section("p", judgments(("a", "b", "a", "x"), ("a", "b", "b", "y")))
    assert alone.alpha is None
    assert "two people" in alone.alpha_why
    rows = []
    for number in range(12):
        verdict = "a" if number % 2 else "b"
        rows += [("a", "b", verdict, who, 1, "human", number) for who in ("x", "y")]
    agreed = results.section("p", judgments(*rows))
    assert agreed.alpha is not None
    assert agreed.alpha[0] == pytest.approx(1.0)
    assert agreed.alpha[3] == 12


def test_simulated_judgments_are_counted():
    rows = [("a", "b", "a", "bot", 1, "simulated"), ("a", "b", "b", "ada", 1, "human")]
    assert results.section("p", judgments(*rows)).simulated == 1


def test_sections_go_by_persona_with_the_homeless_last():
    frame = pd.concat(
        [
            judgments(*wins("a", "b", 3, 2), persona=None),
            judgments(*wins("c", "d", 3, 2), persona="z"),
            judgments(*wins("e", "f", 3, 2), persona="m"),
        ]
    )
    analysis = results.analyse(frame)
    assert [section.persona for section in analysis.sections] == ["m", "z", None]
    assert analysis.n == 15


def test_an_empty_ledger_has_no_section():
    assert results.analyse(judgments()).sections == ()


def test_a_round_is_judged_by_its_own_blind_judgments_alone():
    frame = pd.concat(
        [
            judgments(*wins("new", "old", 12, 4), round=1),
            judgments(*wins("new", "old", 0, 9), round=2),
        ]
    )
    one = SimpleNamespace(persona="p", number=1, state="blind", incumbent="old", challenger="new")
    none_yet = SimpleNamespace(
        persona="p", number=3, state="blind", incumbent="old", challenger="new"
    )
    table = results.blind_table(frame, [one, none_yet])
    assert table.loc[0, "win_rate"] == pytest.approx(0.75)
    assert table.loc[0, "n"] == 16
    assert table.loc[0, "ci_low"] < 0.75 < table.loc[0, "ci_high"]
    assert table.loc[1, "n"] == 0
    assert pd.isna(table.loc[1, "win_rate"])


def test_the_interval_is_the_gates_own():
    from training.evaluation.gate import win_rate_over

    frame = judgments(*wins("new", "old", 25, 12, 5), ("new", "old", "both_bad", "ann1"))
    gate = win_rate_over(frame, "new", "old")
    shown = results.versus(frame, "new")
    assert shown["win_rate"] == pytest.approx(gate.value)
    assert shown["ci_low"] == pytest.approx(gate.ci_low)
    assert shown["ci_high"] == pytest.approx(gate.ci_high)


def test_row_order_changes_nothing():
    frame = judgments(*wins("a", "b", 9, 5, 2), *wins("b", "c", 7, 6), *wins("a", "c", 8, 3))
    first = results.section("p", frame)
    second = results.section("p", frame.sample(frac=1, random_state=3))
    pd.testing.assert_frame_equal(first.islands[0].items, second.islands[0].items)
