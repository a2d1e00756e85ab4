"""Where an adapter comes from and what became of it, down to judgments and base model.

Reads only. Knows judgments, snapshots, runs, adapters, blind comparisons and aliases; what it looks
like is ``db.lineage_words`` and the page, single judgments are ``db.lineage_judgments``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from db import adapters
from db.models import (
    Adapter,
    AliasChange,
    Annotator,
    AnnotatorKind,
    Batch,
    BatchKind,
    Candidate,
    Comparison,
    Judgment,
    Retraction,
    Round,
    Run,
    Snapshot,
    SnapshotJudgment,
)
from preference import win_rates

ENOUGH_ANNOTATORS = 5
"""From how many annotators on an interval is clustered by them, as the promotion gate's is."""
COUNTERFACTUAL_OF = "counterfactual_of"
"""The metric that names the adapter beside which a counterfactual one was trained."""


def tree(session: Session, adapter_id: str) -> dict[str, Any]:
    """An adapter with everything that made it, down to the base adapter, as nested plain values.

    Returns:
        ``id``, ``kind``, ``persona``, ``base_model``, ``base_model_sha256``, ``sha256``, ``path``,
        ``metrics``, ``created_at``; ``without``: names of annotators left out on purpose;
        ``snapshot``: None, or ``id``, ``sha256``, ``judgments``, ``by_kind``, ``annotators`` (how
        many), ``by_annotator`` and ``by_batch`` (lists, most judgments first); ``run``: None, or
        ``id``, ``kind``, ``state``, ``key``, ``code_sha256``, ``reference``, ``config``, ``folder``
        and times; ``comparisons``: its blind ones (as `blind` gives them); ``aliases``: when it
        began and ceased to answer, with the reason; ``counterfactuals``: ids of adapters trained as
        this one, without somebody; ``parents``: the same for each parent, with its ``weight``; a
        parent that the ledger does not know has only its id and hash.

    Raises:
        NotFound: The adapter is not known.
    """
    return _node(session, adapters.adapter(session, adapter_id), frozenset())


def _node(session: Session, one: Adapter, seen: frozenset[str]) -> dict[str, Any]:
    run = session.get(Run, one.run_id) if one.run_id is not None else None
    parents: list[dict[str, Any]] = []
    for parent in one.parents:
        known = session.get(Adapter, parent.get("id", ""))
        if known is None or known.id in seen or known.id == one.id:
            parents.append(dict(parent))
            continue
        weight = {"weight": parent.get("weight")}
        parents.append({**_node(session, known, seen | {one.id}), **weight})
    return {
        "id": one.id,
        "kind": one.kind.value,
        "persona": one.persona_slug,
        "base_model": one.base_model,
        "base_model_sha256": one.base_model_sha256,
        "sha256": one.sha256,
        "path": one.path,
        "metrics": one.metrics,
        "created_at": one.created_at,
        "without": adapters.excluded(session, one),
        "snapshot": None if run is None else snapshot_facts(session, run.snapshot_id),
        "run": None if run is None else _run(run),
        "comparisons": blind(session, one.id),
        "aliases": _aliases(session, one.id),
        "counterfactuals": _counterfactuals(session, one),
        "parents": parents,
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "kind": run.kind.value,
        "state": run.state.value,
        "key": run.key,
        "code_sha256": run.code_sha256,
        "reference": run.reference_id,
        "folder": run.folder,
        "config": run.config,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def snapshot_facts(session: Session, snapshot_id: int | None) -> dict[str, Any] | None:
    """A snapshot in counts, by kind of annotator, annotator and batch; None where there is none."""
    taken = session.get(Snapshot, snapshot_id) if snapshot_id is not None else None
    if taken is None:
        return None
    judged = func.count()
    who = session.execute(
        select(Annotator.name, Annotator.kind, judged)
        .select_from(SnapshotJudgment)
        .join(Judgment, Judgment.id == SnapshotJudgment.judgment_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .where(SnapshotJudgment.snapshot_id == taken.id)
        .group_by(Annotator.id, Annotator.name, Annotator.kind)
        .order_by(judged.desc(), Annotator.name)
    ).tuples()
    where = session.execute(
        select(Batch.name, Batch.kind, judged)
        .select_from(SnapshotJudgment)
        .join(Judgment, Judgment.id == SnapshotJudgment.judgment_id)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .where(SnapshotJudgment.snapshot_id == taken.id)
        .group_by(Batch.id, Batch.name, Batch.kind)
        .order_by(judged.desc(), Batch.name)
    ).tuples()
    by_annotator: list[dict[str, Any]] = [
        {"annotator": name, "kind": kind.value, "judgments": n} for name, kind, n in who
    ]
    counts = {kind.value: 0 for kind in AnnotatorKind}
    for each in by_annotator:
        counts[each["kind"]] += each["judgments"]
    return {
        "id": taken.id,
        "sha256": taken.sha256,
        "judgments": taken.n_judgments,
        "by_kind": counts,
        "annotators": len(by_annotator),
        "by_annotator": by_annotator,
        "by_batch": [
            {"batch": name, "kind": kind.value, "judgments": n} for name, kind, n in where
        ],
        "created_at": taken.created_at,
    }


def blind(session: Session, adapter_id: str) -> list[dict[str, Any]]:
    """An adapter's blind comparisons with others, oldest first, from its own side.

    Returns:
        For each batch and opponent ``batch``, ``against``, ``wins``, ``losses``, ``ties``,
        ``both_bad``, ``judgments``, ``by_kind``, ``annotators``, ``win_rate``, ``ci_low``,
        ``ci_high`` (95 %; None where nobody preferred or tied), ``round``, and ``decided``:
        ``promoted``, ``rejected`` or None, of the adapter that wanted to replace the other, with
        the gate's ``words``.
    """
    a, b = aliased(Candidate), aliased(Candidate)
    rows: Any = session.execute(
        select(Batch.id, a.adapter_id, b.adapter_id, Judgment.verdict, Annotator.id, Annotator.kind)
        .select_from(Comparison)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .outerjoin(Judgment, Judgment.comparison_id == Comparison.id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .outerjoin(Annotator, Annotator.id == Judgment.annotator_id)
        .where(
            Batch.kind == BatchKind.BLIND,
            or_(a.adapter_id == adapter_id, b.adapter_id == adapter_id),
            Retraction.judgment_id.is_(None),
        )
        .order_by(Batch.id, Judgment.id)
    ).tuples()
    met: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    for batch, one, other, verdict, who, kind in rows:
        judged = met.setdefault((batch, other if one == adapter_id else one), [])
        if verdict is not None:
            judged.append((one, other, verdict.value, who, kind.value))
    names = dict(
        session.execute(
            select(Batch.id, Batch.name).where(Batch.id.in_({batch for batch, _ in met}))
        )
        .tuples()
        .all()
    )
    rounds = {
        current.blind_batch_id: current
        for current in session.scalars(
            select(Round).where(Round.blind_batch_id.in_({batch for batch, _ in met}))
        )
    }
    return [
        {
            "batch": names[batch],
            "against": against,
            **_tally(adapter_id, judged),
            **_decision(rounds.get(batch)),
        }
        for (batch, against), judged in met.items()
    ]


def _tally(adapter_id: str, judged: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    verdicts = [
        verdict
        if verdict in ("tie", "both_bad")
        else ("win" if (one if verdict == "a" else other) == adapter_id else "loss")
        for one, other, verdict, _, _ in judged
    ]
    kinds = {kind.value: 0 for kind in AnnotatorKind}
    for row in judged:
        kinds[row[4]] += 1
    people = {row[3] for row in judged}
    rate: dict[str, Any] = {"win_rate": None, "ci_low": None, "ci_high": None}
    if any(each != "both_bad" for each in verdicts):
        columns = [np.array(column, dtype=object) for column in zip(*judged, strict=True)]
        cluster = columns[3].astype(str) if len(people) >= ENOUGH_ANNOTATORS else None
        against = next(side for row in judged for side in row[:2] if side != adapter_id)
        found = win_rates(columns[0], columns[1], columns[2], cluster=cluster)
        told = found.pair(adapter_id, against)
        rate = {"win_rate": told.value, "ci_low": told.ci_low, "ci_high": told.ci_high}
    return {
        "wins": verdicts.count("win"),
        "losses": verdicts.count("loss"),
        "ties": verdicts.count("tie"),
        "both_bad": verdicts.count("both_bad"),
        "judgments": len(verdicts),
        "by_kind": kinds,
        "annotators": len(people),
        **rate,
    }


def _decision(current: Round | None) -> dict[str, Any]:
    if current is None:
        return {"round": None, "challenger": None, "decided": None, "words": ""}
    return {
        "round": current.number,
        "challenger": current.challenger_id,
        "decided": current.state.value if current.decided_at is not None else None,
        "words": str(current.decision.get("words", "")),
    }


def _aliases(session: Session, adapter_id: str) -> list[dict[str, Any]]:
    changes = session.scalars(
        select(AliasChange)
        .where(or_(AliasChange.adapter_id == adapter_id, AliasChange.previous_id == adapter_id))
        .order_by(AliasChange.id)
    )
    return [
        {
            "persona": each.persona_slug,
            "answers": each.adapter_id == adapter_id,
            "other": each.previous_id if each.adapter_id == adapter_id else each.adapter_id,
            "reason": each.reason,
            "actor": each.actor,
            "at": each.created_at,
        }
        for each in changes
    ]


def _counterfactuals(session: Session, one: Adapter) -> list[str]:
    """Adapters that were trained as this one, without somebody."""
    found = session.execute(
        select(Adapter.id, Adapter.metrics)
        .where(Adapter.persona_slug == one.persona_slug, Adapter.id != one.id)
        .order_by(Adapter.created_at, Adapter.id)
    ).tuples()
    return [id_ for id_, metrics in found if metrics.get(COUNTERFACTUAL_OF) == one.id]
