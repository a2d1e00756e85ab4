"""The gate: when it promotes, rejects, waits or asks for more, and who counts."""

import random

import numpy as np
import pandas as pd
import pytest

from training.errors import GateRefused
from training.evaluation.gate import decide, win_rate_over
from training.evaluation.gate_config import GateConfig
from training.evaluation.guards import Guard


def frame(wins: int, losses: int, ties: int = 0, both_bad: int = 0, annotators: int = 8, **change):
    """Judgments of "new" against "old" in a mixed order, sides alternating, a prompt each."""
    outcomes = ["win"] * wins + ["loss"] * losses + ["tie"] * ties + ["both_bad"] * both_bad
    random.Random(0).shuffle(outcomes)
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
                "prompt": number,
                "judgment": number + 1,
                **change,
            }
        )
    columns = ["item_a", "item_b", "verdict", "annotator", "annotator_kind", "prompt", "judgment"]
    return pd.DataFrame(rows, columns=columns)


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
    assert not decision.promote and decision.outcome == "more"
    enough = GateConfig(most_judgments=60)
    decision = decide(frame(33, 27), "new", "old", wanted=60, config=enough)
    assert not decision.promote and decision.outcome == "reject"
    assert "may be chance" in decision.words and "(the most is 60)" in decision.words


def test_a_worse_challenger_is_called_worse():
    decision = decide(frame(10, 50), "new", "old", wanted=60)
    assert not decision.promote
    assert "the challenger is worse" in decision.words


def test_what_is_not_clear_waits_for_what_was_asked():
    decision = decide(frame(9, 6), "new", "old", wanted=60)
    assert decision.outcome == "wait" and not decision.promote and decision.missing == 45
    assert "45 of 60 judgments are still missing" in decision.words
    assert decide(frame(9, 6), "new", "old", wanted=60, early="  ").outcome == "wait"


def test_a_clear_win_is_not_kept_waiting_but_never_decided_on_a_handful():
    assert decide(frame(20, 0), "new", "old", wanted=60).outcome == "promote"
    assert decide(frame(19, 0), "new", "old", wanted=60).outcome == "wait"
    assert decide(frame(12, 0), "new", "old", wanted=12).outcome == "promote", "all that was asked"
    assert decide(frame(1, 24), "new", "old", wanted=60).outcome == "reject"


def test_an_operator_decides_early_on_the_record():
    decision = decide(frame(15, 0), "new", "old", wanted=60, early="launch on Monday")
    assert decision.promote
    assert decision.early == "launch on Monday"
    assert "Decided early, on 15 of 60 judgments: launch on Monday." in decision.words
    decision = decide(frame(9, 6), "new", "old", wanted=60, early="launch on Monday")
    assert not decision.promote and decision.early and "may be chance" in decision.words
    decision = decide(frame(45, 0), "new", "old", wanted=60, early="launch on Monday")
    assert decision.promote and decision.early is None, "the rule decided by itself"


def test_one_annotator_who_clicks_everything_widens_the_interval():
    many = frame(42, 18, annotators=23)
    few = many.copy()
    wins = ((few["item_a"] == "new") & (few["verdict"] == "a")) | (
        (few["item_b"] == "new") & (few["verdict"] == "b")
    )
    few["annotator"] = np.where(wins, "fan", [f"critic {n % 4}" for n in range(len(few))])
    assert decide(many, "new", "old", wanted=60).promote
    fans = decide(few, "new", "old", wanted=60)
    assert not fans.promote and fans.clustered


def test_with_few_annotators_the_interval_is_not_clustered_and_says_so():
    decision = decide(frame(30, 10, annotators=2), "new", "old", wanted=40)
    assert not decision.clustered and decision.promote
    assert "the view of these 2 annotators" in decision.words
    alone = decide(frame(30, 10, annotators=1), "new", "old", wanted=40)
    assert alone.promote, "a project of one is not locked out"
    assert "All of it is person 0's view; what others would say is not known." in alone.words


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
    assert decide(frame(0, 0), "new", "old", wanted=5).outcome == "wait"


@pytest.mark.parametrize("kind", ["simulated", "automatic"])
def test_only_people_count_unless_the_whole_loop_is_simulated(kind):
    judged = frame(50, 10, annotator_kind=kind)
    decision = decide(judged, "new", "old", wanted=60)
    assert not decision.promote and decision.judgments == 0 and decision.win_rate is None
    assert decision.outcome == "more" and decision.more == 60, "people are asked instead"
    assert "60 judgments (60 by" in decision.words and "only people decide" in decision.words
    people = frame(9, 6)
    both = pd.concat([judged, people.assign(judgment=people["judgment"] + 100)])
    decision = decide(both, "new", "old", wanted=120)
    assert decision.judgments == 15 and decision.wins == 9
    loop = decide(judged, "new", "old", wanted=60, config=GateConfig(count_simulated=True))
    assert loop.promote and loop.counted == "everybody"
    assert "SIMULATED: 60" in loop.words


def test_prompts_that_are_judged_again_and_again_count_once_each():
    once = frame(36, 14)
    assert decide(once, "new", "old", wanted=50).promote
    again = once.assign(prompt=[number % 5 for number in range(50)])
    decision = decide(again, "new", "old", wanted=50)
    assert not decision.promote and decision.method == "too few prompts"
    assert "5 prompts judged again and again are too few" in decision.words
    loved = pd.concat([once] * 4, ignore_index=True)
    loved["judgment"] = range(1, 201)
    assert decide(frame(144, 56), "new", "old", wanted=200).ci_low > 0.6
    decision = decide(loved, "new", "old", wanted=200)
    assert decision.method == "prompts" and decision.prompts == 50
    assert decision.ci_low < 0.56, "four judgments of a prompt that all agree are hardly one more"


def test_more_judgments_are_asked_as_many_as_likely_decide():
    close = decide(frame(35, 25), "new", "old", wanted=60)
    assert close.outcome == "more" and close.chance is not None
    assert 20 <= close.more <= 180 and close.more % 10 == 0
    nearly = decide(frame(38, 22), "new", "old", wanted=60)
    assert nearly.outcome == "more" and nearly.more < close.more and nearly.chance > close.chance
    assert f"{nearly.more} more judgments are asked for" in nearly.words
    behind = decide(frame(66, 74), "new", "old", wanted=140, config=GateConfig(least_chance=0.2))
    assert behind.outcome == "reject" and "too little to ask for more" in behind.words
    left = decide(frame(125, 105), "new", "old", wanted=230, config=GateConfig(least_chance=0.0))
    assert left.outcome == "more" and left.more == 10, "never beyond the most"
    none = decide(frame(35, 25), "new", "old", wanted=60, exhausted=True)
    assert none.outcome == "reject" and "no further pair to ask" in none.words


def test_a_guard_that_fails_rejects_even_a_winner():
    long = Guard("length", 3.1, "0.4 to 2.5 times", "failed", "3.10 times as long", True)
    decision = decide(frame(45, 5), "new", "old", wanted=50, guards=[long])
    assert decision.outcome == "reject" and decision.because == "guard" and not decision.promote
    assert "the guard on length (3.10 times as long" in decision.words
    assert decision.evidence()["guards"][0]["value"] == 3.1
    unknown = Guard("safety", None, "as safe", "not computed", "not computed: nobody said", False)
    decision = decide(frame(45, 5), "new", "old", wanted=50, guards=[unknown])
    assert decision.promote and "Not guarded, because not computed: safety." in decision.words


def test_a_judge_may_stop_a_challenger_but_never_promote_one():
    lost = {"verdict": "lost", "words": "judge-01 found it worse."}
    decision = decide(frame(0, 0), "new", "old", wanted=60, prescreen=lost)
    assert decision.outcome == "reject" and decision.because == "judge"
    assert "AUTOMATIC pre-screen: judge-01 found it worse." in decision.words
    asks = decide(
        frame(0, 0), "new", "old", wanted=60, prescreen=lost, config=GateConfig(judge_stops=False)
    )
    assert asks.outcome == "wait"
    won = {"verdict": "won", "words": "judge-01 found it better."}
    assert decide(frame(0, 0), "new", "old", wanted=60, prescreen=won).outcome == "wait"


def test_the_bounds_are_kept_as_they_narrowed():
    course = decide(frame(45, 15), "new", "old", wanted=60).course
    assert course[-1]["n"] == 60 and 20 <= len(course) <= 40
    widths = [one["high"] - one["low"] for one in course]
    assert widths[0] > 0.6 and widths[-1] < 0.35


def test_judgments_of_other_pairs_do_not_count():
    judged = frame(10, 0)
    other = frame(0, 30).replace({"old": "third"})
    rate = win_rate_over(pd.concat([judged, other]), "new", "old")
    assert rate.wins == 10 and rate.losses == 0 and rate.value == 1.0
