"""Reading intents and product names out of responses, without torch."""

import subprocess
import sys

import pytest

from training.corpus import load_bank
from training.corpus.names import fill
from training.evaluation.intents import IntentReader, intent_of, product_named


def test_written_answers_are_read_as_their_own_intent():
    bank = load_bank()
    reader = IntentReader(bank)
    answers = [(i, a) for i in bank.intents for voice in i.answers.values() for a in voice]
    right = sum(reader.intent_of(fill(a, "Zorvi 4", i.generic)) == i.name for i, a in answers)
    assert right / len(answers) > 0.99


@pytest.mark.parametrize("text", ["", "…", "zzzz qqqq"])
def test_text_without_a_known_word_has_no_intent(text):
    assert intent_of(text) is None


@pytest.mark.parametrize(
    ("name", "response", "named"),
    [
        ("Velora 3", "Open Velora 3, then wait.", True),
        ("Velora 3", "Open Velora 30.", False),
        ("Velora 3", "Open velora 3.", False),
        ("aurelo-7", "In aurelo-7: Settings", True),
        ("C++ Pad", "Your C++ Pad is ready", True),
        ("Velora 3", "Open your device.", False),
    ],
)
def test_product_counts_only_as_typed(name, response, named):
    assert product_named(name, response) is named


def test_reading_intents_never_imports_torch():
    code = "import sys, training.evaluation.intents; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
