"""Cached reads for the dashboards: the ledger in, small frozen values and frames out.

Every read is keyed by the database's URL, its filters, and the ledger's ``Pulse`` where it depends
on judgments, so that a new judgment shows at once and an unchanged ledger costs one tiny query.
Knows SQL and the cache; knows no page, no chart and none of the statistics' formulas.
"""

from datetime import datetime
from typing import Any

import numpy as np
import streamlit as st
from sqlalchemy import func, select

from annotate_app import annotators, results
from annotate_app import checks as check
from annotate_app import head_to_head as head_to_heads
from annotate_app.frames import Frame, pd
from annotate_app.head_to_head import HeadToHead
from annotate_app.views import Pulse, Totals
from annotate_app.work_queries import pulse, read, rounds
from db import blocks, gold, judgments, repeat_answers
from db.blocks import Packed
from db.judgments import Tables
from db.models import (
    AnnotatorKind,
    BatchKind,
    Comparison,
    Judgment,
    SnapshotJudgment,
)
from db.settings import database_url

TIE = 2
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


def head_to_head(
    one: str,
    other: str,
    persona: str | None,
    *,
    round: int | None = None,
    batch_kind: str | None = None,
    include_simulated: bool = True,
) -> HeadToHead:
    """One adapter against another under a filter."""
    filters = (persona, round, batch_kind, include_simulated)
    return _head_to_head(database_url(), pulse(), one, other, filters)


def people(
    persona: str | None,
    *,
    round: int | None = None,
    batch_kind: str | None = None,
    include_simulated: bool = True,
) -> annotators.People | None:
    """Everybody behind the judgments under a filter; None where nobody judged."""
    filters = (persona, round, batch_kind, include_simulated)
    return _people_of(database_url(), pulse(), filters)


def checks(
    persona: str | None,
    *,
    round: int | None = None,
    batch_kind: str | None = None,
    include_simulated: bool = True,
) -> list[tuple[results.Section, check.Checks]]:
    """Each persona's numbers, and what could mislead them."""
    filters = (persona, round, batch_kind, include_simulated)
    return _checks(database_url(), pulse(), filters)


def blind_results(include_simulated: bool = True) -> Frame:
    """Every round's challenger against its incumbent on the blind comparison.

    Returns:
        One row a round with a blind batch: persona, round, state, challenger, incumbent, win_rate,
        ci_low, ci_high (NaN without judgments), n, both_bad, simulated.
    """
    return _blind_results(database_url(), pulse(), _rounds_key(), include_simulated)


def judged_since(moment: datetime) -> int:
    """Judgments that people gave on the page since a moment (to the minute).

    Retracted ones count, too, from the first that stands.
    """
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
    packed, known = _chosen(url, at, include_simulated=True)
    people, codes = judgments.ranked_ids(packed.annotator)
    counts = np.bincount(codes, minlength=len(people))
    kinds = [known.kinds[int(each)] for each in people]

    def of(kind: AnnotatorKind) -> int:
        return sum(int(n) for n, each in zip(counts, kinds, strict=True) if each == kind)

    return Totals(
        judgments=packed.n,
        simulated=of(AnnotatorKind.SIMULATED),
        automatic=of(AnnotatorKind.AUTOMATIC),
        annotators=len(people),
        at=results.latest(packed),
    )


@st.cache_data(ttl=TTL, max_entries=4, show_spinner=False)
def _judged_since(url: str, at: Pulse, moment: datetime) -> int:
    packed = _standing(url, at)
    recent = packed.judgment[packed.created >= int(moment.timestamp() * 1e6)]
    if not len(recent):
        return 0
    query = (
        select(func.count())
        .select_from(Judgment)
        .where(
            Judgment.id >= int(recent[0]), Judgment.created_at >= moment, Judgment.source == "page"
        )
    )
    return read(lambda session: session.scalar(query) or 0)


@st.cache_resource(ttl=TTL, max_entries=32, show_spinner=False)
def _analysis(
    url: str,
    at: Pulse,
    persona: str | None,
    round: int | None,
    batch_kind: str | None,
    include_simulated: bool,
) -> results.Analysis:
    return results.analyse(
        *_chosen(url, at, persona, round, batch_kind, include_simulated=include_simulated)
    )


@st.cache_resource(ttl=TTL, max_entries=32, show_spinner=False)
def _head_to_head(
    url: str, at: Pulse, one: str, other: str, filters: tuple[Any, ...]
) -> HeadToHead:
    persona, number, kind, include_simulated = filters
    packed, known = _chosen(url, at, persona, number, kind, include_simulated=include_simulated)
    return head_to_heads.head_to_head(packed, known, one, other)


@st.cache_resource(ttl=TTL, max_entries=16, show_spinner=False)
def _people_of(url: str, at: Pulse, filters: tuple[Any, ...]) -> annotators.People | None:
    persona, number, kind, include_simulated = filters
    packed, known = _chosen(url, at, persona, number, kind, include_simulated=include_simulated)
    if not packed.n:
        return None
    scores, twice = read(gold.scores), read(repeat_answers.twice)
    return annotators.people_of(packed, known, scores, twice)


@st.cache_resource(ttl=TTL, max_entries=16, show_spinner=False)
def _checks(
    url: str, at: Pulse, filters: tuple[Any, ...]
) -> list[tuple[results.Section, check.Checks]]:
    persona, number, kind, include_simulated = filters
    packed, known = _chosen(url, at, persona, number, kind, include_simulated=include_simulated)
    parts = dict(results.by_persona(packed))
    return [
        (section, check.checks_of(parts[section.persona], known, section))
        for section in _analysis(url, at, *filters).sections
    ]


def _chosen(
    url: str,
    at: Pulse,
    persona: str | None = None,
    round: int | None = None,
    batch_kind: str | None = None,
    *,
    include_simulated: bool,
) -> tuple[Packed, Tables]:
    """Standing judgments under a filter, and the tables they point into."""
    known = _tables(url, at, _rounds_key())
    packed = judgments.chosen(
        _standing(url, at),
        known,
        persona=persona,
        round=round,
        batch_kind=batch_kind,
        include_simulated=include_simulated,
    )
    return packed, known


@st.cache_resource(ttl=TTL, max_entries=2, show_spinner=False)
def _standing(url: str, at: Pulse) -> Packed:
    """Every standing judgment by column; blocks that were read before are not read again."""
    del at
    state = read(blocks.fingerprint)
    return read(lambda session: blocks.standing(session, _sealed(url, state)))


@st.cache_resource(ttl=TTL, max_entries=2, show_spinner=False)
def _sealed(url: str, state: str) -> Packed:
    del url, state
    return read(blocks.sealed)


@st.cache_data(ttl=TTL, max_entries=4, show_spinner=False)
def _tables(url: str, at: Pulse, key: Any) -> Tables:
    del url, at, key
    return read(judgments.tables)


def _rounds_key() -> tuple[tuple[str, int, str, str | None, int | None], ...]:
    return tuple((r.persona, r.number, r.incumbent, r.challenger, r.blind_batch) for r in rounds())


@st.cache_data(ttl=TTL, max_entries=8, show_spinner=False)
def _blind_results(url: str, at: Pulse, key: Any, include_simulated: bool) -> Frame:
    del key
    packed, known = _chosen(url, at, batch_kind="blind", include_simulated=include_simulated)
    return results.blind_table(
        packed, known, [view for view in rounds() if view.blind_batch is not None]
    )


@st.cache_data(ttl=TTL, max_entries=4, show_spinner=False)
def _usable(url: str, at: Pulse) -> Frame:
    packed, known = _chosen(url, at, include_simulated=True)
    hidden = read(lambda s: list(s.scalars(select(Comparison.id).where(Comparison.overlap == 0))))
    held = read(lambda s: list(s.scalars(select(SnapshotJudgment.judgment_id).distinct())))
    kinds = {who: int(kind == AnnotatorKind.SIMULATED) for who, kind in known.kinds.items()}
    blind = {batch: int(kind == BatchKind.BLIND) for batch, kind in known.batch_kinds.items()}
    packed = packed.where(
        (packed.persona != blocks.NO_PERSONA)
        & (judgments.looked_up(packed.batch, blind, 0) == 0)
        & ~np.isin(packed.comparison, hidden)
    )
    decided = packed.verdict < TIE
    simulated = judgments.looked_up(packed.annotator, kinds, 0) == 1
    new = decided & ~np.isin(packed.judgment, held)
    columns = {
        "judged": np.ones(packed.n, dtype=np.bool_),
        "decided": decided,
        "ties": packed.verdict == TIE,
        "both_bad": packed.verdict == results.BOTH_BAD,
        "simulated": simulated,
        "new": new,
        "new_by_people": new & ~simulated,
    }
    size = len(packed.personas)
    counts = {
        name: np.bincount(packed.persona[mask], minlength=size) for name, mask in columns.items()
    }
    frame = pd.DataFrame({"persona": list(packed.personas), **counts})
    return frame[frame["judged"] > 0].reset_index(drop=True)
