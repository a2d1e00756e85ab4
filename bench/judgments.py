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
