"""What the dashboards say in words never claims more than the interval does."""

import pytest

from annotate_app import findings


def test_shares_read_in_whole_per_cent_with_their_interval():
    assert findings.estimate(0.637, 0.581, 0.698) == "64 %, 58 to 70"
    assert findings.percent(None) == "–"
    assert findings.percent(float("nan")) == "–"
    assert findings.interval(float("nan"), 0.5) == "no interval yet"


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        ((0.64, 0.58, 0.70), "Round 3 beats round 2 for Playful Sidekick: 64 %, 58 to 70"),
        ((0.36, 0.30, 0.42), "Round 3 loses to round 2 for Playful Sidekick: 36 %, 30 to 42"),
        (
            (0.53, 0.44, 0.62),
            "Round 3 and round 2 cannot be told apart yet for Playful Sidekick: 53 %, 44 to 62",
        ),
        (
            (0.58, 0.50, 0.66),
            "Round 3 and round 2 cannot be told apart yet for Playful Sidekick: 58 %, 50 to 66",
        ),
    ],
)
def test_the_verb_follows_the_interval_and_not_the_rate(rate, said):
    assert findings.versus("round 3", "round 2", "Playful Sidekick", rate, 90) == said


def test_no_judgment_is_said_to_be_no_judgment():
    said = findings.versus("round 3", "round 2", "", None, 0)
    assert said == "Nobody has judged round 3 against round 2 yet"


def test_a_lead_within_error_is_shared():
    close = [("round 2", 0.4, 0.1, 0.7), ("round 1", 0.3, 0.0, 0.6)]
    assert findings.leader(close) == "Round 2 and round 1 cannot be told apart: 0.10 between them"
    assert findings.leader(close, lead=(0.02, 0.18)) == (
        "Round 2 leads, ahead of round 1 by 0.10, 0.02 to 0.18"
    )
    assert findings.leader(close, lead=(-0.05, 0.25)) == (
        "Round 2 and round 1 cannot be told apart: 0.10 between them, -0.05 to 0.25"
    )
    far = [("round 2", 1.4, 1.1, 1.7), ("round 1", 0.3, 0.0, 0.6)]
    assert findings.leader(far, "Ada") == "Round 2 leads for Ada, ahead of round 1 by 1.10"
    assert "alone" in findings.leader(far[:1])
    assert findings.leader([]) == "No ratings yet"


def test_curves_are_told_by_where_they_began_and_ended():
    assert findings.course("Loss", [0.69, 0.6, 0.41]) == "Loss fell from 0.69 to 0.41 in 3 steps"
    told = findings.course("Accuracy", [0.5, 0.9, 0.78], shares=True)
    assert told == "Accuracy rose from 50 % to 78 % in 3 steps"
    assert findings.course("Loss", [0.5, 0.9, 0.1, 0.51]) == "Loss stayed near 0.51 over 4 steps"
    assert findings.course("Margin", [-1e-8]) == "Margin stands at 0.00"
    assert findings.course("Loss", [float("nan")]) == "Loss: nothing measured yet"


def test_rounds_are_told_by_the_last_one():
    rows = [(1, 0.7, 0.6, 0.8), (2, 0.55, 0.45, 0.65)]
    said = "After round 2 Ada is level against the start: 55 %, 45 to 65"
    assert findings.over_rounds("Ada", rows, "the start") == said
    assert "wins against" in findings.over_rounds("Ada", rows[:1], "the start")


def test_lists_and_counts_read_as_people_say_them():
    assert findings.listed(["a", "b", "c"]) == "a, b and c"
    assert findings.listed(list("abcdef")) == "a, b, c, d and 2 more"
    assert findings.counted(1, "judgment") == "1 judgment"
    assert findings.counted(1204, "judgment") == "1,204 judgments"
