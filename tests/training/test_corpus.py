"""The corpus: its rules are enforced, its names are copied, its noise never touches a name."""

import json
import random
import re
from itertools import islice
from pathlib import Path

import pytest
import yaml

from training.corpus import CorpusError, augment, conversations, load_bank
from training.corpus.conversations import ask
from training.corpus.intents import INTENTS_DIR, VOICES
from training.corpus.names import fill, pseudo_name

FREE = INTENTS_DIR.parent / "free_prompts.jsonl"


@pytest.fixture(scope="module")
def bank():
    return load_bank()


def written(tmp_path: Path, change) -> Path:
    """A folder with one small valid file, after `change` has altered its intent."""
    answers = {v: [f"{v} {n} of {{product}}" for n in range(4)] for v in VOICES}
    intent = {
        "intent": "reset_password",
        "journey": "troubleshooting",
        "generic": "your account",
        "phrasings": [f"way {n} to ask about {{product}}" for n in range(20)],
        "heldout": [f"unseen way {n}" for n in range(4)],
        "answers": answers,
    }
    change(intent)
    (tmp_path / "troubleshooting.yaml").write_text(yaml.safe_dump([intent]), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i.update(intent="Reset Password"), "snake_case"),
        (lambda i: i.update(journey="upsell"), "journey is 'upsell'"),
        (lambda i: i.update(phrasings=i["phrasings"][:3]), "phrasings: has 3 different strings"),
        (lambda i: i["phrasings"].__setitem__(0, 5), "item 1 must be a non-empty string, got 5"),
        (lambda i: i["phrasings"].__setitem__(0, "{name} is"), "{name}; use only {product}"),
        (lambda i: i.update(heldout=i["phrasings"][:4]), "is in phrasings and in heldout"),
        (lambda i: i["answers"].pop("luxury_curator"), "answers.luxury_curator: must be a list"),
        (lambda i: i["answers"].update(pirate=["arr"]), "unknown voice 'pirate'"),
        (lambda i: i["answers"]["neutral"].__setitem__(0, "no slot"), "lacks {product}; add it"),
        (lambda i: i.update(colour="red"), "unknown field 'colour'"),
        (lambda i: i.pop("generic"), "generic must be a noun phrase"),
    ],
)
def test_broken_intent_is_refused_with_its_place_and_remedy(tmp_path, change, message):
    with pytest.raises(CorpusError) as caught:
        load_bank(written(tmp_path, change))
    assert message in str(caught.value)
    assert "troubleshooting.yaml item 1" in str(caught.value)


def test_broken_yaml_is_refused_with_its_line(tmp_path):
    (tmp_path / "upsell.yaml").write_text("- intent: a\n  b: [\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"upsell\.yaml:\d+: not valid YAML"):
        load_bank(tmp_path)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="no intent files"):
        load_bank(tmp_path)


def test_free_prompts_never_enter_the_corpus(bank):
    def plain(text: str) -> str:
        return " ".join(re.findall(r"[a-z0-9]+", text.lower()))

    free = [json.loads(line)["prompt"] for line in FREE.read_text(encoding="utf-8").splitlines()]
    assert len(free) == 50
    written_texts = set()
    for intent in bank.intents:
        follow = [text for f in intent.followups for text in f.phrasings]
        for text in (*intent.phrasings, *intent.heldout, *follow):
            written_texts.add(plain(text.replace("{product}", "")))
    # A bare greeting such as "hi there" is what everybody types.
    shared = {text for text in free if plain(text) in written_texts and len(plain(text)) > 10}
    assert not shared


def test_same_seed_streams_the_same_conversations(bank):
    first = list(islice(conversations(bank, 3), 50))
    assert first == list(islice(conversations(bank, 3), 50))
    assert first != list(islice(conversations(bank, 4), 50))


def test_turns_alternate_and_no_slot_is_left(bank):
    for item in islice(conversations(bank, 5), 400):
        assert [turn.role for turn in item.turns] == ["user", "assistant"] * (len(item.turns) // 2)
        assert not any("{" in turn.content for turn in item.turns if turn.role == "assistant")


def test_training_stream_never_uses_heldout_wording(bank):
    held = {text for intent in bank.intents for text in intent.heldout}
    asked = {turn.content for item in islice(conversations(bank, 6), 2000) for turn in item.turns}
    assert not held & asked


def test_most_named_products_are_random_names(bank):
    rng = random.Random(1)
    names = [name for i in bank.intents * 20 if (name := ask(i, rng)[1])]
    assert 0.6 <= len(set(names)) / len(names) <= 0.9


def test_customer_noise_never_changes_the_product_name(bank):
    rng = random.Random(2)
    for _ in range(500):
        text = augment.vary("I cannot log in to {product} because of an error", rng)
        assert text.count("{product}") == 1


def test_a_phrasing_of_nothing_but_punctuation_is_never_stripped_to_nothing():
    rng = random.Random(1)
    assert all(augment.vary("...", rng) for _ in range(500))


def test_pseudo_names_come_with_digits_lower_case_and_two_words():
    names = [pseudo_name(random.Random(n)) for n in range(400)]
    assert any(re.search(r"[A-Z][a-z]+ \d", name) for name in names)
    assert any(name.islower() for name in names)
    assert any(len(name.split()) > 1 and not any(c.isdigit() for c in name) for name in names)


@pytest.mark.parametrize(
    ("text", "product", "wanted"),
    [
        ("Open {product} now.", "velora 3", "Open velora 3 now."),
        ("{product} is ready.", "velora 3", "velora 3 is ready."),
        ("{product} is ready.", None, "Your account is ready."),
        (
            "Done. {product} is ready in {product}.",
            None,
            "Done. Your account is ready in your account.",
        ),
    ],
)
def test_names_stay_as_typed_and_generic_phrases_get_their_capital(text, product, wanted):
    assert fill(text, product, "your account") == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_such_intent: [hello]", "no intent 'no_such_intent'"),
        ("reset_password: [unseen way 1]", "is held out in reset_password"),
        ("reset_password: [1]", "must be a non-empty string"),
        ("- a", "must map intents to lists"),
    ],
)
def test_further_phrasings_are_checked_too(tmp_path, text, message):
    folder = written(tmp_path, lambda intent: None)
    (folder / "more.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        load_bank(folder)
