"""Annotators' weights: known reliabilities, gold, what nobody knows, and the range."""

import json
from dataclasses import replace

import numpy as np
import pytest
from test_pairs import Judged

from training import reliability
from training.dpo_config import DPOConfig
from training.errors import ConfigRefused
from training.pairs import PairOptions, build_pairs

BY_CROWD, BY_GOLD = DPOConfig(), DPOConfig(annotator_weights="gold")
TRUE = [0.95, 0.95, 0.9, 0.9, 0.85, 0.6, 0.5, 0.3]


def line(number: int, who: int, verdict: str, prompt: str = "p") -> dict:
    """One line of a snapshot."""
    return {
        "a": {"id": 1, "sha256": f"{prompt} one"},
        "annotator": who,
        "b": {"id": 2, "sha256": f"{prompt} two"},
        "judgment": number,
        "prompt": prompt,
        "strength": 1,
        "verdict": verdict,
        "weight": 1.0,
    }


def simulated(pairs: int, overlap: int, seed: int):
    """Judgments of annotators of known reliability; the first text is always the better one."""
    chance = np.random.default_rng(seed)
    told = []
    for pair in range(pairs):
        for who in chance.choice(len(TRUE), overlap, replace=False):
            right = chance.random() < TRUE[who]
            told.append(line(len(told), int(who), "a" if right else "b", f"p{pair}"))
    return told


def labels(told, trust):
    """P(first is better) of every pair, by the code that makes pairs."""
    rows = []
    for each in told:
        weight = trust[each["annotator"]].weight if trust else 1.0
        rows.append(Judged(each["judgment"], each["verdict"], prompt=each["prompt"], weight=weight))
    pairs = build_pairs(rows, PairOptions(heldout_share=0.0, even=0.0)).training
    return {p.prompt: p.label if p.chosen == "one" else 1 - p.label for p in pairs}


def test_weighted_labels_are_closer_to_the_truth_than_plain_ones():
    gained = []
    for seed in range(4):
        told = simulated(150, 4, seed)
        trust = reliability.weights_of(told, {}, BY_CROWD)
        plain, better = labels(told, {}), labels(told, trust)
        # A pair whose labels are dead even is no pair; it knows nothing of the truth: one half.
        error = [1 - sum(side.get(key, 0.5) for key in plain | better) / len(plain | better)
                 for side in (plain, better)]  # fmt: skip
        gained.append(1 - error[1] / error[0])
        weights = [trust[who].weight for who in range(len(TRUE))]
        assert min(weights[:5]) > max(weights[5:]), weights
        assert weights[7] < 0.2 and max(weights) <= reliability.MOST
    assert min(gained) > 0.3, f"the mean distance from the truth fell by {gained}"


def test_somebody_of_whom_nothing_is_known_weighs_one_and_changes_no_key():
    told = [line(1, 5, "a", "p"), line(2, 6, "b", "q"), line(3, 7, "tie", "p")]
    trust = reliability.weights_of(told, {}, BY_CROWD)
    assert {who: one.weight for who, one in trust.items()} == {5: 1.0, 6: 1.0, 7: 1.0}
    assert {one.source for one in trust.values()} == {"prior"}
    assert reliability.digest(trust) == "" == reliability.digest({})
    assert reliability.key_of(["x"], trust) == ["x"]
    other = {5: replace(trust[5], weight=0.5)}
    assert reliability.key_of(["x"], other) == ["x", reliability.digest(other)]


@pytest.mark.parametrize(
    ("right", "answers", "weight"),
    [(0, 30, 0.0), (10, 20, 0.5), (16, 20, 1.0), (20, 20, 1.3333), (2000, 2000, 1.6601)],
)
def test_gold_decides_where_there_is_enough_of_it(right, answers, weight):
    found = reliability.judged((right, answers), (0.55, 40), BY_GOLD)
    assert found.source == "gold" and found.weight == pytest.approx(weight, abs=1e-4)
    assert found.why == f"{right} of {answers} gold answers right"
    few = reliability.judged((9, 9), (0.65, 40), BY_GOLD)
    assert (few.source, few.n, few.weight) == ("crowd", 40, 0.5)
    told = [line(1, 5, "a")]
    gold = {5: (0, 30)}
    assert reliability.weights_of(told, gold, BY_GOLD)[5].weight == 0.0
    assert reliability.weights_of(told, gold, BY_CROWD)[5].weight == 1.0


def test_judgments_of_no_weight_are_dropped_under_their_reason():
    rows = [Judged(1, "a", weight=0.0), Judged(2, "a", prompt="other")]
    pairs = build_pairs(rows, PairOptions(heldout_share=0.0))
    assert pairs.dropped == {"of no weight": 1} and pairs.used == 1


def test_the_report_names_nobody_and_says_why():
    trust = {3: reliability.judged((12, 12), None, BY_GOLD)}
    told = reliability.report(trust, BY_GOLD)
    assert json.loads(json.dumps(told)) == told
    assert told["rule"] == "gold" and told["range"] == [0.0, 1.6667]
    assert told["annotators"]["annotator 3"]["why"] == "12 of 12 gold answers right"
    with pytest.raises(ConfigRefused, match="none, reliability, gold"):
        DPOConfig(annotator_weights="votes")
