"""How much each annotator's judgments weigh in training: by gold, or by what others say.

Knows a snapshot's lines and gold answers. Does not know pairs, runs or names.

An annotator's reliability r is the probability of picking the better response; one half is a coin.
Two sources, both held to what is believed of anybody, r = 0.8, by twenty pseudo-judgments (the
prior Beta(16, 4) of ``preference.pair_crowd``):

    crowd   how often the annotator agrees with the others about the pairs that they share
    gold    (right + 16) / (answers + 20), from ``gold_enough`` first answers to gold on

The weight is (2r - 1) / 0.6, cut to the range 0 to 5/3: how much more than a coin the annotator
knows, in units of an ordinary one. Somebody of whom nothing is known weighs 1, as everybody does
under ``none``; a perfect one 5/3; a coin, and whoever is worse than that, nothing.

Weights follow from the snapshot, the configuration and the gold answers that were there when the
run began, so a run that is taken up again finds the same ones; they are part of its key.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from db import gold, snapshots
from db.snapshots import SnapshotRow
from preference.pair_crowd import PRIOR, fit_pair_crowd
from training.dpo_config import DPOConfig

ORDINARY = PRIOR[0] / sum(PRIOR)
"""Reliability of somebody of whom nothing is known."""
UNIT = 2 * ORDINARY - 1
MOST = 1 / UNIT
"""The largest weight, a perfect annotator's."""


@dataclass(frozen=True)
class Trust:
    """What one annotator's judgments weigh, and why.

    Attributes:
        weight: 0 to 5/3.
        reliability: r, 0 to 1.
        source: ``gold``, ``crowd`` or ``prior``.
        n: gold answers, or judgments on pairs that others judged too.
        why: the same in words.
    """

    weight: float
    reliability: float
    source: str
    n: int
    why: str


def weigh(
    session: Session, snapshot_id: int, config: DPOConfig, *, before: datetime
) -> dict[int, Trust]:
    """The weight of each annotator (id) of a snapshot; empty where everybody weighs 1 by config.

    Args:
        session: the session.
        snapshot_id: the judgments.
        config: ``annotator_weights`` and ``gold_enough``.
        before: gold answers that came later do not count.
    """
    if config.annotator_weights == "none":
        return {}
    lines = [json.loads(line) for line in snapshots.to_jsonl(session, snapshot_id).splitlines()]
    answers = gold.scores(session, before=before) if config.annotator_weights == "gold" else {}
    return weights_of(lines, answers, config)


def weights_of(
    lines: Iterable[Mapping[str, Any]],
    answers: Mapping[int, tuple[int, int]],
    config: DPOConfig,
) -> dict[int, Trust]:
    """The weight of each annotator of some judgments.

    Args:
        lines: as `db.snapshots.to_jsonl` writes them.
        answers: right and all first answers to gold by annotator; read under ``gold`` only.
        config: ``annotator_weights`` and ``gold_enough``.
    """
    everybody, picks = set[int](), []
    for line in lines:
        everybody.add(int(line["annotator"]))
        one, other = line["a"]["sha256"], line["b"]["sha256"]
        if line["verdict"] in ("a", "b") and one != other:
            first, second = sorted((one, other))
            better = one if line["verdict"] == "a" else other
            picks.append((f"{line['prompt']} {first} {second}", better == first, line["annotator"]))
    fit = fit_pair_crowd(*zip(*picks, strict=True)) if picks else None
    crowd = (
        {}
        if fit is None
        else {
            int(who): (float(r), int(shared))
            for who, r, shared in zip(fit.annotators, fit.reliability, fit.shared, strict=True)
        }
    )
    told = answers if config.annotator_weights == "gold" else {}
    return {who: judged(told.get(who), crowd.get(who), config) for who in sorted(everybody)}


def judged(
    known: tuple[int, int] | None, crowd: tuple[float, int] | None, config: DPOConfig
) -> Trust:
    """The rule above for one annotator.

    Args:
        known: right and all first answers to gold; None where these do not count.
        crowd: reliability among others, and judgments behind it; None where there are none.
        config: ``gold_enough``.
    """
    if known is not None and known[1] >= config.gold_enough:
        right, n = known
        why = f"{right} of {n} gold answers right"
        return _trust((right + PRIOR[0]) / (n + sum(PRIOR)), "gold", n, why)
    if crowd is not None and crowd[1] > 0:
        why = f"right in {crowd[0]:.0%} of {crowd[1]} judgments that others share, by the others"
        return _trust(crowd[0], "crowd", crowd[1], why)
    return _trust(ORDINARY, "prior", 0, "nobody else judged the same pairs")


def _trust(reliability: float, source: str, n: int, why: str) -> Trust:
    weight = float(np.clip((2 * reliability - 1) / UNIT, 0.0, MOST))
    return Trust(round(weight, 4), round(reliability, 4), source, n, why)


def weighted(rows: Iterable[SnapshotRow], trust: Mapping[int, Trust]) -> list[SnapshotRow]:
    """Rows of a snapshot with their annotators' weights multiplied in."""
    return [
        replace(row, weight=row.weight * trust[row.annotator_id].weight)
        if row.annotator_id in trust
        else row
        for row in rows
    ]


def digest(trust: Mapping[int, Trust]) -> str:
    """SHA-256 of the weights that are not 1, for the run's key; empty where there is none."""
    changed = {str(who): one.weight for who, one in sorted(trust.items()) if one.weight != 1}
    text = json.dumps(changed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest() if changed else ""


def report(trust: Mapping[int, Trust], config: DPOConfig) -> dict[str, Any]:
    """For the run's report: the rule, and each annotator's weight by id (names are for erasing)."""
    return {
        "rule": config.annotator_weights,
        "range": [0.0, round(MOST, 4)],
        "digest": digest(trust),
        "annotators": {f"annotator {who}": asdict(one) for who, one in sorted(trust.items())},
    }


def key_of(parts: Sequence[Any], trust: Mapping[int, Trust]) -> list[Any]:
    """What a run's key is the hash of, with the weights where they change anything."""
    return [*parts, digest(trust)] if digest(trust) else list(parts)
