"""data/persona_*.jsonl: enough rows, the right wording in the right file, nothing shared."""

import json
from collections import Counter
from pathlib import Path

import pytest

from training.corpus import load_bank
from training.corpus.intents import PERSONA_VOICES
from training.persona_rows import MANNERS, localise, prompt_key, write_rows

DATA = Path(__file__).resolve().parents[2] / "data"


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def files():
    return {
        name: read(DATA / f"persona_{name}.jsonl") for name in ("prompts", "training", "validation")
    }


def test_prompts_cover_four_journeys_in_both_splits(files):
    prompts = files["prompts"]
    assert len(prompts) >= 320
    assert sum("messages" in row for row in prompts) >= 70
    splits = Counter(row["split"] for row in prompts)
    assert splits["loop"] >= 240 and splits["heldout"] >= 80
    journeys = Counter(row["journey"] for row in prompts)
    assert set(journeys) == {"onboarding", "troubleshooting", "upsell", "complaints"}
    assert min(journeys.values()) >= 50
    assert {row["persona"] for row in prompts} == {None}


def test_every_persona_has_its_training_and_validation_rows(files):
    training = Counter(row["persona"] for row in files["training"])
    validation = Counter(row["persona"] for row in files["validation"])
    assert set(training) == set(validation) == set(PERSONA_VOICES)
    assert min(training.values()) >= 640 and min(validation.values()) >= 110


def test_no_prompt_is_in_two_files_or_twice_in_one(files):
    keys = {name: [prompt_key(row) for row in rows] for name, rows in files.items()}
    for rows in keys.values():
        assert len(rows) == len(set(rows))
    assert not set(keys["training"]) & set(keys["validation"])
    assert not set(keys["prompts"]) & (set(keys["training"]) | set(keys["validation"]))


def test_every_manner_of_a_persona_is_trained_on(files):
    for persona in PERSONA_VOICES:
        rows = [row for row in files["training"] if row["persona"] == persona]
        manners = Counter(tag for row in rows for tag in row["tags"] if tag in MANNERS)
        assert set(manners) == set(MANNERS) and min(manners.values()) >= 100


def test_rows_end_with_the_user_and_fill_every_field(files):
    for name, rows in files.items():
        for row in rows:
            turns = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
            assert ("messages" in row) != ("prompt" in row)
            assert turns[-1]["role"] == "user" and all(turn["content"].strip() for turn in turns)
            assert row["locale"] in ("en-US", "en-GB") and row["tier"] in (
                "free",
                "plus",
                "premium",
            )
            assert ("response" in row) == (name != "prompts")
            assert "{" not in row.get("response", "")


def test_named_product_is_in_prompt_and_in_product_answers(files):
    bank = load_bank()
    for row in files["training"]:
        named = row["product"] and bank.by_name(row["intent"]).product_in_answers
        if named and "messages" not in row:
            assert row["product"] in row["prompt"]
            assert row["product"] in row["response"]


def test_committed_rows_are_what_the_command_writes(tmp_path, files):
    write_rows(tmp_path, seed=7)
    for name, rows in files.items():
        assert read(tmp_path / f"persona_{name}.jsonl") == rows, "run personaloop data rows"


def test_locale_changes_spelling_and_keeps_capitals():
    assert localise("Color and favorite", "en-GB") == "Colour and favourite"
    assert localise("Apologise, colour", "en-US") == "Apologize, color"
