"""Tokens of a run, counted by hand, and what they cost by a price list."""

import pytest

from training.candidates import CandidateConfig
from training.costs import Price, Prices, Tokens, count_tokens, in_words, load_prices
from training.dpo_config import DPOConfig
from training.errors import ConfigRefused
from training.pairs import PreferencePair


def pair(number: int, chosen: str, rejected: str) -> PreferencePair:
    messages = ({"role": "user", "content": f"question {number}"},)
    return PreferencePair(messages, chosen, rejected, 1.0, 1.0, (number,), f"{number:08x}")


def test_tokens_are_counted_as_often_as_they_are_read_trained_and_written():
    training = [pair(1, "four words are here", "two words"), pair(2, "one", "one two")]
    heldout = [pair(3, "a b", "c d e")]
    tokens = count_tokens(
        training,
        heldout,
        unjudged=2,
        steps=5,
        replayed=[(({"role": "user", "content": "x"},), "a b c"), ((), "d")],
        config=DPOConfig(epochs=3, replay_rows=4),
        candidates=CandidateConfig(max_tokens=7, blind_comparisons=10),
        prompt=lambda messages: 10,
        completion=lambda text: len(text.split()),
    )
    judged = (20 + 4 + 2) + (20 + 1 + 2)
    seen, measured = 2 * judged, 20 + 2 + 3
    replayed = 5 * 4 * (13 + 11) / 2
    assert tokens == Tokens(
        prefill=seen + 3 * seen + 2 * measured + 20 * 10,
        sample=20 * 7,
        train=3 * seen + round(replayed),
    )
    assert tokens.total == tokens.prefill + tokens.sample + tokens.train


def test_a_price_is_of_a_million_tokens_and_a_missing_one_is_said():
    tokens = Tokens(prefill=2_000_000, sample=1_000_000, train=3_000_000)
    prices = Prices("EUR", {"big": Price(prefill=0.5, sample=2.0, train=1.5)})
    assert prices.models["big"].of(tokens) == pytest.approx(1.0 + 2.0 + 4.5)
    told = in_words(tokens, prices, "big")
    assert told[0].startswith("tokens: at most 6,000,000 (3,000,000 to train")
    assert told[1] == "cost: at most 7.50 EUR on big"
    assert in_words(tokens, prices, "small")[1].startswith("cost: no price is set for small")


def test_the_shipped_price_list_names_no_price():
    assert load_prices().models == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: {m: {train: 1}}", "m must have prefill, sample, train"),
        ("models: {m: {prefill: 1, sample: x, train: 1}}", "m.sample must be a number, got 'x'"),
        ("models: {m: {prefill: -1, sample: 1, train: 1}}", "m.prefill must be a number"),
        ("price: 1", "must have currency and models"),
        ("models: [", "cannot be read"),
    ],
)
def test_a_wrong_price_names_file_and_model(tmp_path, text, words):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigRefused, match=words):
        load_prices(path)
