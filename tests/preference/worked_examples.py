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


def tennis():
    """Men's tennis 2014 to 2018 (Agresti 2019, An Introduction to Categorical Data Analysis, 3rd
    edition, table 8.8): wins of the row over the column."""
    players = ("Djokovic", "Federer", "Murray", "Nadal", "Wawrinka")
    won = ((0, 9, 14, 9, 4), (6, 0, 5, 5, 7), (3, 0, 0, 2, 2), (2, 1, 4, 0, 4), (3, 2, 2, 3, 0))
    return judgments(
        (players[i], players[j], "a", won[i][j]) for i in range(5) for j in range(5) if i != j
    )


def flatlizards():
    """Contests of 77 male flat lizards and four measures of each (Whiting and others 2006, Animal
    Behaviour 72:353-363, as distributed with R's BradleyTerry2). Two lack some measures."""
    contests = [(r["winner"], r["loser"]) for r in rows("flatlizards_2006_contests.csv")]
    measures = {}
    for r in rows("flatlizards_2006_lizards.csv"):
        own = {name: value for name, value in r.items() if name != "lizard"}
        measures[r["lizard"]] = {k: float(v) if v else float("nan") for k, v in own.items()}
    return contests, measures


def springall():
    """Nine samples, three flavour by three gel concentrations (Springall 1973, Applied Statistics
    22:59-68, section 7, as distributed with R's BradleyTerry2): judgments and properties."""
    triples = []
    for r in rows("springall_1973.csv"):
        i, j = int(r["column"]), int(r["row"])
        for verdict, name in (("a", "wins_column"), ("b", "wins_row"), ("tie", "ties")):
            triples.append((i, j, verdict, int(r[name])))
    flavours, gels = (0.6, 4.8, 9.0), (0.0, 2.4, 4.8)
    properties = {}
    for i in range(9):
        f, g = flavours[i % 3], gels[i // 3]
        properties[i + 1] = {"flav": f, "gel": g, "flav2": f * f, "gel2": g * g, "flav gel": f * g}
    return judgments(triples), properties


def citations():
    """Citations between statistics journals (Stigler 1994, Statistical Science 9:94-108)."""
    journals = ("Biometrika", "Comm Statist", "JASA", "JRSS-B")
    cited = ((714, 730, 498, 221), (33, 425, 68, 17), (320, 813, 1072, 142), (284, 276, 325, 188))
    return judgments(
        (journals[i], journals[j], "a", cited[i][j]) for i in range(4) for j in range(4) if i != j
    )
