"""Cached reads for the dashboards: the ledger in, small frozen values and frames out.

Every read is keyed by the database's URL, its filters, and the ledger's ``Pulse`` where it depends
on judgments, so that a new judgment shows at once and an unchanged ledger costs one tiny query.
Knows SQL and the cache; knows no page, no chart and none of the statistics' formulas.
"""

from datetime import datetime
from typing import Any

import streamlit as st
from sqlalchemy import String, case, func, select, type_coerce
from sqlalchemy.orm import Session, aliased

from annotate_app import results
from annotate_app.frames import Frame, pd
from annotate_app.views import Pulse, Totals
from annotate_app.work_queries import pulse, read, rounds
from db.models import (
    Annotator,
    AnnotatorKind,
    Batch,
    BatchKind,
    Candidate,
    Comparison,
    Judgment,
    Retraction,
    SnapshotJudgment,
    Verdict,
)
from db.settings import database_url

TTL = 300.0
"""Seconds that a read keyed by the pulse is kept."""


def totals() -> Totals:
    """Counts of the standing judgments."""
    return _totals(database_url(), pulse())


def analysis(
    persona: str | None = None,
    *,
    round: int | None = None,
    batch_kind: str | None = None,
    include_simulated: bool = True,
) -> results.Analysis:
    """Everything the ratings page says about the standing judgments under a filter."""
    return _analysis(database_url(), pulse(), persona, round, batch_kind, include_simulated)


def blind_results(include_simulated: bool = True) -> Frame:
    """Every round's challenger against its incumbent on the blind comparison.

    Returns:
        One row a round with a blind batch: persona, round, state, challenger, incumbent, win_rate,
        ci_low, ci_high (NaN without judgments), n, both_bad, simulated.
    """
    return _blind_results(database_url(), pulse(), _rounds_key(), include_simulated)


def judged_since(moment: datetime) -> int:
    """Judgments that people gave on the page since a moment (to the minute), retracted ones too."""
    return _judged_since(database_url(), pulse(), moment.replace(second=0, microsecond=0))


def usable_pairs() -> Frame:
    """Judgments that each persona has for training.

    Returns:
        Columns persona, judged, decided (a or b), ties, both_bad, simulated, new (decided ones
        that no snapshot holds yet), new_by_people (of these, not simulated).
        Blind judgments decide on adapters, they never train one, and are left out.
    """
    return _usable(database_url(), pulse())


@st.cache_data(ttl=TTL, max_entries=16, show_spinner=False)
def _totals(url: str, at: Pulse) -> Totals:
    del url, at

    def work(session: Session) -> Totals:
        per_annotator = (
            select(Judgment.annotator_id, func.count().label("n"))
            .group_by(Judgment.annotator_id)
            .subquery()
        )
        gone = (
            select(Judgment.annotator_id, func.count().label("n"))
            .join(Retraction, Retraction.judgment_id == Judgment.id)
            .group_by(Judgment.annotator_id)
            .subquery()
        )
        rows = session.execute(
            select(Annotator.kind, per_annotator.c.n, func.coalesce(gone.c.n, 0))
            .join(per_annotator, per_annotator.c.annotator_id == Annotator.id)
            .outerjoin(gone, gone.c.annotator_id == Annotator.id)
        ).all()
        standing = [(kind, n - away) for kind, n, away in rows if n > away]
        newest = session.scalar(select(Judgment.created_at).order_by(Judgment.id.desc()).limit(1))
        return Totals(
            judgments=sum(n for _, n in standing),
            simulated=sum(n for kind, n in standing if kind == AnnotatorKind.SIMULATED),
            automatic=sum(n for kind, n in standing if kind == AnnotatorKind.AUTOMATIC),
            annotators=len(standing),
            at=newest,
        )

    return read(work)


@st.cache_data(ttl=TTL, max_entries=4, show_spinner=False)
def _judged_since(url: str, at: Pulse, moment: datetime) -> int:
    del url, at
    query = (
        select(func.count())
        .select_from(Judgment)
        .where(Judgment.created_at >= moment, Judgment.source == "page")
    )
    return read(lambda session: session.scalar(query) or 0)


@st.cache_data(ttl=TTL, max_entries=32, show_spinner=False)
def _analysis(
    url: str,
    at: Pulse,
    persona: str | None,
    round: int | None,
    batch_kind: str | None,
    include_simulated: bool,
) -> results.Analysis:
    frame = _filtered(url, at, persona, round, batch_kind, include_simulated)
    patterns = _patterns(url, at, tuple(sorted(set(frame["batch"]))), include_simulated)
    return results.analyse(frame, patterns)


def _filtered(
    url: str,
    at: Pulse,
    persona: str | None,
    round: int | None,
    batch_kind: str | None,
    include_simulated: bool,
) -> Frame:
    frame = _grouped(url, at)
    known = {view.label_batch: view.number for view in rounds()}
    known |= {view.blind_batch: view.number for view in rounds()}
    frame = frame.assign(round=frame["batch"].map(lambda batch: known.get(batch, 0)))
    keep = frame["times"] > 0
    if persona is not None:
        keep &= frame["persona"] == persona
    if round is not None:
        keep &= frame["round"] == round
    if batch_kind is not None:
        keep &= frame["batch_kind"] == batch_kind
    if not include_simulated:
        keep &= frame["annotator_kind"] == AnnotatorKind.HUMAN.value
    return frame[keep]


@st.cache_data(ttl=TTL, max_entries=2, show_spinner=False)
def _grouped(url: str, at: Pulse) -> Frame:
    """Standing judgments counted by the database, so that their number never travels as rows.

    Returns:
        Columns batch (id), persona, item_a, item_b (adapter ids), verdict, placement, annotator
        (name), annotator_kind, batch_kind, times (judgments), weight (their sum), created_at (the
        newest). A row for every combination that occurs.
    """
    del url, at
    a, b = aliased(Candidate), aliased(Candidate)
    keys = (
        Comparison.batch_id,
        Comparison.persona_slug,
        a.adapter_id,
        b.adapter_id,
        type_coerce(Judgment.verdict, String),
        Judgment.placement,
        Judgment.annotator_id,
    )
    query = (
        select(*keys, func.count(), func.sum(Judgment.weight), func.max(Judgment.created_at))
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .where(Judgment.id.not_in(select(Retraction.judgment_id)))
        .group_by(*keys)
        .order_by(*keys)
    )

    def work(session: Session) -> Frame:
        frame = pd.DataFrame(
            [tuple(row) for row in session.execute(query)],
            columns=[
                *("batch", "persona", "item_a", "item_b", "verdict", "placement", "who"),
                *("times", "weight", "created_at"),
            ],
        )
        people = session.execute(select(Annotator.id, Annotator.name, Annotator.kind)).all()
        names = {row.id: row.name for row in people}
        kinds = {row.id: row.kind.value for row in people}
        batches = {row.id: row.kind.value for row in session.execute(select(Batch.id, Batch.kind))}
        return frame.assign(
            annotator=frame["who"].map(names),
            annotator_kind=frame["who"].map(kinds),
            batch_kind=frame["batch"].map(batches),
        ).drop(columns="who")

    return read(work)


@st.cache_data(ttl=TTL, max_entries=32, show_spinner=False)
def _patterns(url: str, at: Pulse, batches: tuple[int, ...], include_simulated: bool) -> Frame:
    """How often comparisons were judged in the same way, counted by the database.

    Returns:
        Columns persona, a, b, tie, both_bad (judgments of one comparison) and units (comparisons
        with exactly these, two judgments or more).
    """
    del url, at
    sums = [_number(Judgment.verdict == verdict).label(verdict.value) for verdict in Verdict]
    inner = (
        select(Comparison.persona_slug.label("persona"), *sums)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .where(
            Comparison.batch_id.in_(batches),
            Judgment.id.not_in(select(Retraction.judgment_id)),
        )
        .group_by(Judgment.comparison_id, Comparison.persona_slug)
        .having(func.count() > 1)
    )
    if not include_simulated:
        others = select(Annotator.id).where(Annotator.kind != AnnotatorKind.HUMAN)
        inner = inner.where(Judgment.annotator_id.not_in(others))
    each = inner.subquery()
    columns = [each.c.persona, *(each.c[verdict.value] for verdict in Verdict)]
    query = select(*columns, func.count()).group_by(*columns).order_by(*columns)
    rows = read(lambda session: session.execute(query).all())
    return pd.DataFrame(
        [tuple(row) for row in rows], columns=["persona", *results.VERDICTS, "units"]
    )


def _rounds_key() -> tuple[tuple[str, int, str, str | None, int | None], ...]:
    return tuple((r.persona, r.number, r.incumbent, r.challenger, r.blind_batch) for r in rounds())


@st.cache_data(ttl=TTL, max_entries=8, show_spinner=False)
def _blind_results(url: str, at: Pulse, key: Any, include_simulated: bool) -> Frame:
    del key
    frame = _filtered(url, at, None, None, "blind", include_simulated)
    return results.blind_table(frame, [view for view in rounds() if view.blind_batch is not None])


@st.cache_data(ttl=TTL, max_entries=4, show_spinner=False)
def _usable(url: str, at: Pulse) -> Frame:
    del url, at
    decided = Judgment.verdict.in_([Verdict.A, Verdict.B])
    simulated = Annotator.kind == AnnotatorKind.SIMULATED
    held = select(SnapshotJudgment.judgment_id).distinct().subquery()
    query = (
        select(
            Comparison.persona_slug.label("persona"),
            func.count().label("judged"),
            _number(decided).label("decided"),
            _number(Judgment.verdict == Verdict.TIE).label("ties"),
            _number(Judgment.verdict == Verdict.BOTH_BAD).label("both_bad"),
            _number(simulated).label("simulated"),
            _number(decided & held.c.judgment_id.is_(None)).label("new"),
            _number(decided & held.c.judgment_id.is_(None) & ~simulated).label("new_by_people"),
        )
        .join(Judgment, Judgment.comparison_id == Comparison.id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .outerjoin(held, held.c.judgment_id == Judgment.id)
        .where(
            Retraction.judgment_id.is_(None),
            Comparison.persona_slug.is_not(None),
            Comparison.overlap > 0,
            Batch.kind != BatchKind.BLIND,
        )
        .group_by(Comparison.persona_slug)
        .order_by(Comparison.persona_slug)
    )
    names = ["persona", "judged", "decided", "ties", "both_bad", "simulated", "new"]
    rows = read(lambda session: session.execute(query).all())
    return pd.DataFrame([tuple(row) for row in rows], columns=[*names, "new_by_people"])


def _number(condition: Any) -> Any:
    """How many rows of a group fulfil a condition."""
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
