"""The taste model: learns plain preferences, admits what it cannot predict, labels only then."""

import random

import numpy as np
import pytest

from training.pairs import PreferencePair, prompt_key
from training.taste import features, fit_taste, label_unjudged, style

WORDS = [
    *("open", "the", "settings", "of", "your", "account", "and", "choose"),
    *("a", "plan", "that", "suits", "you", "well", "today"),
]


def text_of(rng: random.Random) -> str:
    body = " ".join(rng.choice(WORDS) for _ in range(rng.randint(5, 40)))
    return body.capitalize() + rng.choice([".", "!", "?", "! Great!"])


def judged(prefer, count: int = 160, flips: float = 0.0, seed: int = 0) -> list[PreferencePair]:
    """Pairs of random texts, judged by a function of a text; ``flips`` of them wrongly."""
    rng, pairs = random.Random(seed), []
    for number in range(count):
        messages = ({"role": "user", "content": f"ask {number}"},)
        one, other = sorted((text_of(rng), text_of(rng)), key=prefer)
        if rng.random() < flips:
            one, other = other, one
        if one != other:
            key = prompt_key(messages)
            pairs.append(PreferencePair(messages, other, one, 1.0, 1.0, (number,), key))
    return pairs


@pytest.mark.parametrize(
    ("prefer", "name"),
    [
        (lambda t: -len(t.split()), "−words"),
        (lambda t: len(t.split()), "+words"),
        (lambda t: t.count("!"), "+exclamation marks"),
    ],
)
def test_a_plain_preference_is_learned_from_noisy_judgments_and_named(prefer, name):
    taste = fit_taste(judged(prefer, 200, flips=0.1))
    assert taste is not None and taste.accuracy > 0.7
    assert name in taste.in_words(4)
    fresh = judged(prefer, 100, seed=5)
    fresh = [p for p in fresh if prefer(p.chosen) != prefer(p.rejected)]
    right = np.mean([taste.score(p.chosen) > taste.score(p.rejected) for p in fresh])
    assert right > 0.85


def test_coin_tosses_teach_nothing():
    rng = random.Random(1)
    taste = fit_taste(judged(lambda t: rng.random(), 200))
    assert taste is not None and taste.accuracy < 0.62


def test_too_few_prompts_give_no_model():
    assert fit_taste(judged(len, 15)) is None


def test_judged_pairs_are_not_labeled_again_and_labels_are_sure():
    taste = fit_taste(judged(lambda t: -len(t.split()), 200))
    assert taste is not None
    rng = random.Random(9)
    samples = {}
    for number in range(20):
        messages = [{"role": "user", "content": f"new {number}"}]
        texts = [(text_of(rng), (1, 2, number)) for _ in range(6)]
        samples[prompt_key(messages)] = (messages, texts)
    made = label_unjudged(taste, samples, judged=set(), most=25, sure=0.9, weight=0.5)
    assert 0 < len(made) <= 25
    for pair in made:
        assert pair.label >= 0.9 and pair.weight == 0.5 and pair.judgments == ()
        assert len(pair.chosen.split()) < len(pair.rejected.split())
        assert pair.chosen_tokens is not None
    again = label_unjudged(taste, samples, judged={made[0].key}, most=25, sure=0.9, weight=0.5)
    assert made[0].key not in {pair.key for pair in again}
    assert label_unjudged(taste, samples, judged=set(), most=25, sure=0.9, weight=0.5) == made


def test_a_prompt_with_one_response_or_alike_ones_makes_no_pair():
    taste = fit_taste(judged(lambda t: -len(t.split()), 200))
    assert taste is not None
    same = {"k": ([{"role": "user", "content": "x"}], [("Open it.", (1,)), ("open it!", (2,))])}
    assert label_unjudged(taste, same, judged=set(), most=9, sure=0.5, weight=1.0) == []
    one = {"k": ([{"role": "user", "content": "x"}], [("Open it.", (1,))])}
    assert label_unjudged(taste, one, judged=set(), most=9, sure=0.5, weight=1.0) == []


def test_style_sees_how_and_not_what():
    told = style("First, open it. Then wait! Shall I help you? 🎉")
    assert told["ends with a question"] == 1.0 and told["order words"] == 2.0
    assert told["exclamation marks"] == 1.0 and told["emoji"] == 1.0
    assert len(features("", ["open"])) == len(style("")) + 1
