"""A small model of what annotators like: Bradley-Terry on features of style.

Knows texts and judged pairs. Does not know tokens, adapters or the ledger.

Judgments are few, sampled responses are many. From the judged pairs this fits

    P(x better than y) = σ(w·(φ(x) − φ(y)))

with φ of plain features (length, sentences, questions, exclamation marks, order words, frequent
words …) and a ridge chosen by cross-validation over prompts. Where it predicts judgments that it
has not seen, it may label pairs of responses that nobody judged: the best against the worst of
several samples that say the same, after "West-of-N" (Pace et al. 2024, arXiv:2401.12086). Where it
does not, it says so and nothing is labeled. Its weights have names, so a run can tell what it
thinks is liked.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.candidates import nearly_same
from training.candidates import shared_content
from training.pairs import PreferencePair

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS = 5
SAME = 0.15
"""Share of common long words from which two responses say the same. A model of style knows nothing
of content: without this it would call a short wrong answer better than a long right one."""
WORDS = 80
"""Frequent words that are features of their own."""
_ORDER = re.compile(r"\b(?:first|then|next|finally|step \d|\d\.)\b", re.IGNORECASE)
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
_NAME = re.compile(r"\b[A-Z][\w-]+")


@dataclass(frozen=True)
class Taste:
    """A fitted model.

    Attributes:
        names: of the features.
        weights: one a feature, in log-odds for each standard deviation.
        scale: standard deviation of each feature.
        words: the frequent words among the features.
        ridge: strength of the penalty that cross-validation chose.
        accuracy: share of judged pairs that it ranks right when it has not seen them.
        pairs: judged pairs that it was fitted to.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    scale: np.ndarray
    words: tuple[str, ...]
    ridge: float
    accuracy: float
    pairs: int

    def score(self, text: str) -> float:
        """How much a response is liked, in log-odds up to a constant."""
        return float(features(text, self.words) / self.scale @ self.weights)

    def in_words(self, most: int = 5) -> list[str]:
        """The features that weigh most, liked (+) and disliked (−)."""
        order = np.argsort(-np.abs(self.weights))[:most]
        return [f"{'+' if self.weights[i] > 0 else '−'}{self.names[i]}" for i in order]


def style(text: str) -> dict[str, float]:
    """Named features of style, none of which knows what a text is about."""
    words = text.split()
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]
    bare = text.rstrip(" \t\n" + "".join(_EMOJI.findall(text)))
    names = Counter(_NAME.findall(text))
    return {
        "words": len(words) / 10,
        "many words": float(len(words) > 30),
        "few words": float(len(words) < 18),
        "sentences": float(len(sentences)),
        "word length": sum(map(len, words)) / max(1, len(words)),
        "ends with a question": float(bare.endswith("?")),
        "questions": float(text.count("?")),
        "exclamation marks": float(text.count("!")),
        "any exclamation mark": float("!" in text),
        "emoji": float(len(_EMOJI.findall(text))),
        "commas": float(text.count(",")),
        "colons": float(text.count(":") + text.count(";")),
        "order words": float(len(_ORDER.findall(text))),
        "digits": float(sum(c.isdigit() for c in text) > 0),
        "contractions": float(len(re.findall(r"\w'\w", text))),
        "a name twice": float(max(names.values(), default=0) > 1),
        "menu paths": float(text.count(">")),
    }


def features(text: str, words: Sequence[str]) -> np.ndarray:
    """φ of a text: its style, then one 0 or 1 for each frequent word."""
    there = set(_bag(text))
    return np.array([*style(text).values(), *(float(word in there) for word in words)])


def fit_taste(pairs: Sequence[PreferencePair]) -> Taste | None:
    """Fit to judged pairs; None where there are too few prompts to check the fit on.

    Args:
        pairs: judged pairs with soft labels and weights.
    """
    prompts = sorted({pair.prompt for pair in pairs})
    if len(prompts) < 4 * FOLDS:
        return None
    words = _frequent([text for pair in pairs for text in (pair.chosen, pair.rejected)])
    phi = {text: features(text, words) for pair in pairs for text in (pair.chosen, pair.rejected)}
    scale = np.std(np.stack(list(phi.values())), axis=0)
    scale[scale < 1e-9] = 1.0
    x = np.stack([(phi[p.chosen] - phi[p.rejected]) / scale for p in pairs])
    label = np.array([pair.label for pair in pairs])
    weight = np.array([pair.weight for pair in pairs])
    fold_of = {prompt: number % FOLDS for number, prompt in enumerate(prompts)}
    fold = np.array([fold_of[pair.prompt] for pair in pairs])
    names = (*style(""), *(f"“{word}”" for word in words))
    penalty = np.where(np.arange(len(names)) < len(style("")), 1.0, 3.0)
    best: tuple[float, float, float] | None = None
    for ridge in RIDGES:
        margins = np.empty(len(pairs))
        for number in range(FOLDS):
            seen, unseen = fold != number, fold == number
            w = _logistic(x[seen], label[seen], weight[seen], ridge * penalty)
            margins[unseen] = x[unseen] @ w
        loss = float(_loss(margins, label, weight))
        right = float(np.average(np.where(margins == 0, 0.5, margins > 0), weights=weight))
        if best is None or loss < best[0]:
            best = (loss, ridge, right)
    assert best is not None
    w = _logistic(x, label, weight, best[1] * penalty)
    return Taste(names, w, scale, tuple(words), best[1], best[2], len(pairs))


def label_unjudged(
    taste: Taste,
    samples: Mapping[str, tuple[Sequence[dict[str, str]], Sequence[tuple[str, tuple[int, ...]]]]],
    *,
    judged: set[str],
    most: int,
    sure: float,
    weight: float,
    nearly: float = 0.85,
) -> list[PreferencePair]:
    """Pairs of responses that nobody judged, labeled by the model: the best against the worst.

    Args:
        taste: the model.
        samples: by prompt key, the conversation and its responses with their tokens.
        judged: keys of pairs that people judged; never labeled again.
        most: pairs wanted, at most; spread over the prompts.
        sure: smallest probability of a label.
        weight: of each pair, beside judged ones of mean 1.
        nearly: share of common words from which two responses count as alike.
    """
    turns: list[list[PreferencePair]] = []
    for prompt, (messages, responses) in sorted(samples.items()):
        ranked = sorted({text: ids for text, ids in responses if text.strip()}.items())
        ranked.sort(key=lambda one: -taste.score(one[0]))
        turn = 0
        while len(ranked) > 1:
            good, good_ids = ranked.pop(0)
            worst = _worst_of_same(good, [text for text, _ in ranked], nearly)
            if worst is None:
                continue
            bad, bad_ids = ranked.pop(worst)
            p = 1 / (1 + np.exp(taste.score(bad) - taste.score(good)))
            if p < sure:
                continue
            turns += [[] for _ in range(turn + 1 - len(turns))]
            pair = PreferencePair(
                tuple({"role": m["role"], "content": m["content"]} for m in messages),
                *(good, bad, float(p), weight, (), prompt, good_ids, bad_ids),
            )
            if pair.key not in judged:
                turns[turn].append(pair)
                turn += 1
    return [pair for turn in turns for pair in turn][:most]


def _worst_of_same(good: str, ranked: Sequence[str], nearly: float) -> int | None:
    """Which of the worse responses, best first, is the worst that says the same otherwise."""
    for place in range(len(ranked) - 1, -1, -1):
        bad = ranked[place]
        same = shared_content(good, bad) >= SAME
        if same and not nearly_same(good, bad, threshold=nearly):
            return place
    return None


def _bag(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def _frequent(texts: Sequence[str]) -> list[str]:
    """Words in between 5 and 60 % of the texts, the most frequent ones."""
    count = Counter(word for text in texts for word in set(_bag(text)))
    usable = [(n, w) for w, n in count.items() if 0.05 <= n / len(texts) <= 0.6]
    return [word for _, word in sorted(usable, key=lambda one: (-one[0], one[1]))[:WORDS]]


def _logistic(
    x: np.ndarray, label: np.ndarray, weight: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Weights of the ridge-penalised logistic model without intercept, by Newton's method."""
    w = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        gradient = x.T @ (weight * (p - label)) + penalty * w
        hessian = (x.T * (weight * p * (1 - p))) @ x + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        w = w - step
        if float(np.abs(step).max()) < 1e-8:
            break
    return w


def _loss(margins: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean cross-entropy of soft labels, in nats."""
    cost = label * np.logaddexp(0, -margins) + (1 - label) * np.logaddexp(0, margins)
    return float(np.average(cost, weights=weight))
