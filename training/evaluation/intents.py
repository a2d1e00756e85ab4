"""Which intent a response answers, and whether it names the customer's product. No torch.

Knows the answers of the corpus's intents. Does not know models: it reads text that anyone wrote.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from functools import lru_cache

from training.corpus import Bank, load_bank
from training.corpus.intents import SLOT

WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def _words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.lower().replace("’", "'")))


class IntentReader:
    """Finds the intent whose answers are nearest by IDF-weighted words.

    The distance is the cosine between word vectors weighted by log((1 + intents) / (1 + intents
    that use the word)) (Sparck Jones 1972); the nearest single answer decides.
    """

    def __init__(self, bank: Bank):
        """Indexes every answer, follow-up answers included, in all voices."""
        answers: list[tuple[str, Counter[str]]] = []
        used: defaultdict[str, set[str]] = defaultdict(set)
        for intent in bank.intents:
            texts = [text for voice in intent.answers.values() for text in voice]
            for follow in intent.followups:
                texts += [text for voice in follow.answers.values() for text in voice]
            for text in texts:
                words = _words(text.replace(SLOT, intent.generic))
                answers.append((intent.name, words))
                for word in words:
                    used[word].add(intent.name)
        intents = len(bank.intents)
        self._idf = {w: math.log((1 + intents) / (1 + len(names))) for w, names in used.items()}
        self._answers = [(name, self._vector(words)) for name, words in answers]
        self._holding: defaultdict[str, list[int]] = defaultdict(list)
        for number, (_, vector) in enumerate(self._answers):
            for word in vector:
                self._holding[word].append(number)

    def _vector(self, words: Counter[str]) -> dict[str, float]:
        weighted = {w: math.sqrt(n) * self._idf[w] for w, n in words.items() if self._idf.get(w)}
        norm = math.sqrt(sum(value * value for value in weighted.values())) or 1.0
        return {word: value / norm for word, value in weighted.items()}

    def intent_of(self, response: str) -> str | None:
        """The nearest intent's name; None when no word of the response is in any answer."""
        vector = self._vector(_words(response))
        scores: defaultdict[int, float] = defaultdict(float)
        for word, value in vector.items():
            for number in self._holding[word]:
                scores[number] += value * self._answers[number][1][word]
        if not scores:
            return None
        return self._answers[max(scores, key=lambda number: (scores[number], -number))][0]


@lru_cache(maxsize=1)
def _reader() -> IntentReader:
    return IntentReader(load_bank())


def intent_of(response: str) -> str | None:
    """The intent that a response answers, by the repository's answers; None for no known word."""
    return _reader().intent_of(response)


def product_named(prompt_product: str, response: str) -> bool:
    """Whether the response holds the product name as the customer typed it.

    Case counts: "Velora 3" typed is "Velora 3" answered. The name must stand alone: "Velora 30"
    does not name "Velora 3".
    """
    name = re.escape(" ".join(prompt_product.split()))
    return re.search(rf"(?<!\w){name}(?!\w)", " ".join(response.split())) is not None
