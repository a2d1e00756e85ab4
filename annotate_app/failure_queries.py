"""Cached reads for the failure explorer: whose failures, how many, over what, which comparisons.

Keyed by the database's URL, the filters and the ledger's pulse, as all reads of judgments. The list
is cut by the database: a stretch of ids and counts is kept, texts are read for one page at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate_app.views import Pulse
from annotate_app.work_queries import incumbents, pulse, read, rounds
from db import failure_texts, failures
from db.decisions import Decision, decisions
from db.failure_texts import Failure
from db.failures import Found, Group, Scope, Standing, Wish
from db.models import Adapter, Batch, Candidate, Comparison
from db.settings import database_url

TTL = 300.0
"""Seconds that a read keyed by the pulse is kept."""
PAGE = 10
"""Comparisons a page."""
STRETCH = 100 * PAGE
"""Comparisons whose ids and counts are read at once; turning pages inside it reads texts alone."""
MOST_IN_A_FILE = 5000
"""Comparisons in a download."""


@dataclass(frozen=True)
class Summary:
    """A scope in numbers.

    Attributes:
        groups: Its comparisons by journey and intent.
        at: Time of its newest judgment; None without any.
    """

    groups: tuple[Group, ...]
    at: datetime | None

    def total(self, name: str) -> int:
        """The sum of one of the groups' counts."""
        return sum(getattr(group, name) for group in self.groups)


def summary(scope: Scope) -> Summary:
    """How many comparisons were judged and lost, and where."""
    return _summary(database_url(), pulse(), scope)


def reasons(scope: Scope) -> list[tuple[str, int]]:
    """Reasons for losses with how many lost comparisons carry each, the commonest first."""
    return _reasons(database_url(), pulse(), scope)


def listed(scope: Scope, wish: Wish) -> int:
    """How many comparisons a wish names."""
    return _stretch(database_url(), pulse(), scope, wish, 0).total


def page(scope: Scope, wish: Wish, number: int) -> list[Failure]:
    """One page of the list with its texts; pages are counted from 1."""
    return _page(database_url(), pulse(), scope, wish, number)


def decided(comparisons: Sequence[int]) -> dict[int, Decision]:
    """What an adjudicator decided of these, where one did. Not kept: it is a look by keys."""
    found = read(lambda session: decisions(session, comparisons)) if comparisons else []
    return {each.comparison_id: each for each in found}


def for_a_file(scope: Scope, wish: Wish) -> list[Failure]:
    """The list with its texts, up to ``MOST_IN_A_FILE`` comparisons. Not kept."""

    def work(session: Session) -> list[Failure]:
        found = failures.find(session, scope, wish, limit=MOST_IN_A_FILE)
        return failure_texts.describe(session, scope, found.rows)

    return read(work)


def without_persona() -> bool:
    """Whether there are comparisons that belong to no persona (some imports)."""
    return _without_persona(database_url())


def adapters_of(persona: str | None) -> list[str]:
    """Adapters that answered as a persona: what answers now first, then the newest."""
    now = incumbents().get(persona or "")
    found = _adapters_of(database_url(), persona)
    first = [] if now is None else [now.adapter]
    return [*first, *(each for each in found if each not in first)]


def round_numbers(persona: str | None) -> list[int]:
    """Numbers of the persona's rounds, and of those that imports told."""
    return sorted({*(view.number for view in rounds(persona)), *_told_rounds(database_url())})


def most_failing(choices: Sequence[tuple[str, str]]) -> str | None:
    """Of (persona, adapter), the persona whose adapter lost most comparisons; None without any.

    Kept for some minutes whatever is judged meanwhile: what a page opens with should not jump.
    """
    if len(choices) < 2:
        return choices[0][0] if choices else None
    return _most_failing(database_url(), tuple(choices), pulse().latest > 0)


@st.cache_data(ttl=TTL, max_entries=32, show_spinner=False)
def _summary(url: str, at: Pulse, scope: Scope) -> Summary:
    del url, at

    def work(session: Session) -> Summary:
        found = failures.groups(session, scope)
        newest = max((group.newest for group in found), default=0)
        return Summary(tuple(found), failures.newest_at(session, newest) if newest else None)

    return read(work)


@st.cache_data(ttl=TTL, max_entries=32, show_spinner=False)
def _reasons(url: str, at: Pulse, scope: Scope) -> list[tuple[str, int]]:
    del url, at
    return read(lambda session: failures.reasons(session, scope))


@st.cache_data(ttl=TTL, max_entries=32, show_spinner=False)
def _stretch(url: str, at: Pulse, scope: Scope, wish: Wish, offset: int) -> Found:
    del url, at
    return read(lambda s: failures.find(s, scope, wish, limit=STRETCH, offset=offset))


@st.cache_data(ttl=TTL, max_entries=32, show_spinner=False)
def _page(url: str, at: Pulse, scope: Scope, wish: Wish, number: int) -> list[Failure]:
    start = (number - 1) * PAGE
    offset = start // STRETCH * STRETCH
    rows: Sequence[Standing] = _stretch(url, at, scope, wish, offset).rows
    chosen = rows[start - offset : start - offset + PAGE]
    return read(lambda session: failure_texts.describe(session, scope, chosen))


@st.cache_data(ttl=30.0, max_entries=4, show_spinner=False)
def _without_persona(url: str) -> bool:
    del url
    query = select(Comparison.id).where(Comparison.persona_slug.is_(None)).limit(1)
    return read(lambda session: session.scalar(query)) is not None


@st.cache_data(ttl=30.0, max_entries=16, show_spinner=False)
def _adapters_of(url: str, persona: str | None) -> list[str]:
    del url
    same = Candidate.persona_slug == persona if persona else Candidate.persona_slug.is_(None)
    wrote = select(Candidate.id).where(Candidate.adapter_id == Adapter.id, same).exists()
    query = select(Adapter.id).where(wrote).order_by(Adapter.created_at.desc(), Adapter.id)
    return list(read(lambda session: session.scalars(query).all()))


@st.cache_data(ttl=30.0, max_entries=4, show_spinner=False)
def _told_rounds(url: str) -> list[int]:
    del url
    query = select(Batch.round_number).where(Batch.round_number.is_not(None)).distinct()
    return [number for number in read(lambda s: s.scalars(query).all()) if number is not None]


@st.cache_data(ttl=TTL, max_entries=8, show_spinner=False)
def _most_failing(url: str, choices: tuple[tuple[str, str], ...], judged: bool) -> str:
    del url
    if not judged:
        return choices[0][0]

    def work(session: Session) -> str:
        lost = {
            persona: sum(group.lost for group in failures.groups(session, Scope(adapter, persona)))
            for persona, adapter in choices
        }
        return max(lost, key=lambda persona: lost[persona])

    return read(work)
