"""The gate: when it promotes, when it does not, and that it never peeks."""

import numpy as np
import pandas as pd
import pytest

from training.errors import GateRefused
from training.evaluation.gate import decide, win_rate_over


def frame(wins: int, losses: int, ties: int = 0, both_bad: int = 0, annotators: int = 8, **change):
    """Judgments of "new" against "old", sides alternating."""
    outcomes = ["win"] * wins + ["loss"] * losses + ["tie"] * ties + ["both_bad"] * both_bad
    rows = []
    for number, outcome in enumerate(outcomes):
        first = number % 2 == 0
        verdict = outcome
        if outcome in ("win", "loss"):
            verdict = "a" if (outcome == "win") == first else "b"
        rows.append(
            {
                "item_a": "new" if first else "old",
                "item_b": "old" if first else "new",
                "verdict": verdict,
                "annotator": f"person {number % annotators}",
                "annotator_kind": "human",
                **change,
            }
        )
    return pd.DataFrame(rows)


def test_a_clear_winner_is_promoted_with_the_evidence_in_words():
    decision = decide(frame(45, 10, 5), "new", "old", wanted=60)
    assert decision.promote
    assert decision.win_rate == pytest.approx(47.5 / 60)
    assert decision.ci_low > 0.5
    assert (decision.wins, decision.losses, decision.ties) == (45, 10, 5)
    assert "new beat old in 79%" in decision.words and "Promoted" in decision.words
    assert "SIMULATED" not in decision.words
    assert decision.evidence()["promote"] is True


def test_chance_is_not_promoted():
    decision = decide(frame(33, 27), "new", "old", wanted=60)
    assert not decision.promote
    assert "may be chance" in decision.words


def test_a_worse_challenger_is_called_worse():
    decision = decide(frame(10, 50), "new", "old", wanted=60)
    assert not decision.promote
    assert "the challenger is worse" in decision.words


def test_no_peeking_before_the_last_judgment():
    with pytest.raises(GateRefused, match="15 of 60 judgments are still missing"):
        decide(frame(45, 0), "new", "old", wanted=60)
    with pytest.raises(GateRefused):
        decide(frame(45, 0), "new", "old", wanted=60, early="  ")


def test_an_operator_decides_early_on_the_record():
    decision = decide(frame(45, 0), "new", "old", wanted=60, early="launch on Monday")
    assert decision.promote
    assert decision.early == "launch on Monday"
    assert "Decided early, on 45 of 60 judgments: launch on Monday." in decision.words


def test_one_annotator_who_clicks_everything_widens_the_interval():
    many = frame(42, 18, annotators=23)
    few = many.copy()
    wins = ((few["item_a"] == "new") & (few["verdict"] == "a")) | (
        (few["item_b"] == "new") & (few["verdict"] == "b")
    )
    few["annotator"] = np.where(wins, "fan", [f"critic {n % 4}" for n in range(len(few))])
    assert decide(many, "new", "old", wanted=60).promote
    assert not decide(few, "new", "old", wanted=60).promote


def test_with_few_annotators_the_interval_is_not_clustered_and_says_so():
    decision = decide(frame(30, 10, annotators=2), "new", "old", wanted=40)
    assert not decision.clustered and decision.promote
    assert "clustered" not in decision.words


def test_both_bad_counts_as_judged_but_not_in_the_rate():
    decision = decide(frame(20, 10, 0, 10), "new", "old", wanted=40)
    assert decision.win_rate == pytest.approx(2 / 3)
    assert decision.both_bad == 10


def test_where_every_verdict_is_both_bad_the_incumbent_stays():
    decision = decide(frame(0, 0, 0, 5, annotators=3), "new", "old", wanted=5)
    assert not decision.promote and decision.win_rate is None and decision.both_bad == 5
    assert decision.words == (
        "All 5 blind judgments by 3 annotators call both new and old bad. Rejected: nobody "
        "preferred the challenger; the incumbent stays."
    )


def test_no_judgment_at_all_decides_nothing():
    with pytest.raises(GateRefused, match="no blind judgment yet"):
        decide(frame(0, 0), "new", "old", wanted=5, early="in a hurry")


def test_simulated_judgments_are_called_so():
    judged = frame(50, 10, annotator_kind="simulated")
    decision = decide(judged, "new", "old", wanted=60)
    assert decision.simulated == 60
    assert "SIMULATED: 60" in decision.words


def test_judgments_of_other_pairs_do_not_count():
    judged = frame(10, 0)
    other = frame(0, 30).replace({"old": "third"})
    rate = win_rate_over(pd.concat([judged, other]), "new", "old")
    assert rate.wins == 10 and rate.losses == 0 and rate.value == 1.0
