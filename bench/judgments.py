"""Seeded judgments of items whose true strengths are known, as codes and as texts."""

import numpy as np

ITEMS = 100


def judgments(n: int, ties: float = 0.15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items a and b and verdicts (0 a, 1 b, 2 tie) as uint8 codes, n each, from seed 7."""
    rng = np.random.default_rng(7)
    truth = np.sort(rng.normal(0, 0.8, ITEMS))
    a = rng.integers(0, ITEMS, n, dtype=np.uint8)
    b = (a + rng.integers(1, ITEMS, n, dtype=np.uint8)) % ITEMS
    wins = np.exp(truth)
    chance = (wins[:, None] / (wins[:, None] + wins)).astype(np.float32)
    verdict = (rng.random(n, dtype=np.float32) >= chance[a, b]).astype(np.uint8)
    verdict[rng.random(n, dtype=np.float32) < ties] = 2
    return a, b.astype(np.uint8), verdict


def columns(n: int) -> dict[str, list[str]]:
    """The same judgments as lists of texts."""
    a, b, verdict = judgments(n)
    items = np.array([f"persona-adapter-{i:03d}" for i in range(ITEMS)], dtype=object)
    words = np.array(["a", "b", "tie"], dtype=object)
    return {
        "item_a": items[a].tolist(),
        "item_b": items[b].tolist(),
        "verdict": words[verdict].tolist(),
    }


def contextual(n: int, items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Items a and b, verdicts, and (n, 4) covariates that add to a's side, from seed 7."""
    rng = np.random.default_rng(7)
    truth = np.sort(rng.normal(0, 0.8, items))
    a = rng.integers(0, items, n)
    b = (a + rng.integers(1, items, n)) % items
    x = rng.normal(size=(n, 4))
    eta = truth[a] - truth[b] + x @ np.array([0.3, -0.2, 0.1, 0.05])
    verdict = (rng.random(n) >= 1 / (1 + np.exp(-eta))).astype(np.uint8)
    verdict[rng.random(n) < 0.15] = 2
    return a.astype(np.uint16), b.astype(np.uint16), verdict, x


def people(n: int, annotators: int, prompts: int) -> tuple[np.ndarray, np.ndarray]:
    """Who judged and on which prompt, as uint16 codes, evenly at random from seed 8."""
    rng = np.random.default_rng(8)
    return (
        rng.integers(0, annotators, n, dtype=np.uint16),
        rng.integers(0, prompts, n, dtype=np.uint16),
    )
