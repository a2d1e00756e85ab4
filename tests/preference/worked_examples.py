"""Published data sets as columns of judgments; their digits are in the tests."""

import csv
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "llmfao"


def rows(name):
    with (GOLDEN / name).open(newline="") as file:
        return list(csv.DictReader(file))


def judgments(triples):
    """(item_a, item_b, verdict, weight[, placement]) tuples to columns."""
    return tuple(list(column) for column in zip(*triples, strict=True))


def baseball():
    """American League 1987, home and away (Agresti 1990, Categorical Data Analysis, chapter 10)."""
    out = []
    for r in rows("baseball_1987.csv"):
        out.append((r["home"], r["away"], "a", int(r["home_wins"]), 1))
        out.append((r["home"], r["away"], "b", int(r["away_wins"]), 1))
    return judgments(out)


def puddings():
    """Chocolate puddings (Davidson 1970, JASA 65:317-328, example 2)."""
    out = []
    for r in rows("puddings_1970.csv"):
        i, j = int(r["i"]), int(r["j"])
        out.append((i, j, "a", int(r["wins_i"])))
        out.append((i, j, "b", int(r["wins_j"])))
        out.append((i, j, "tie", int(r["ties"])))
    return judgments(out)


def citations():
    """Citations between statistics journals (Stigler 1994, Statistical Science 9:94-108)."""
    journals = ("Biometrika", "Comm Statist", "JASA", "JRSS-B")
    cited = ((714, 730, 498, 221), (33, 425, 68, 17), (320, 813, 1072, 142), (284, 276, 325, 188))
    return judgments(
        (journals[i], journals[j], "a", cited[i][j]) for i in range(4) for j in range(4) if i != j
    )
