"""Cached reads for the lineage page: an adapter's pairs, and what a judgment trained.

Snapshots never change, so their pairs are kept for minutes; what trained on them may grow.
"""

from typing import Any

import streamlit as st

from annotate_app.work_queries import read
from db import lineage_judgments
from db.models import Annotator, Judgment
from db.settings import database_url

PAGE = 10
"""Comparisons a page."""


def pairs_of(snapshot_id: int, page: int) -> tuple[int, list[dict[str, Any]]]:
    """How many comparisons a snapshot has, and one page of them; pages are counted from 1."""
    return _pairs_of(database_url(), snapshot_id, page)


def trained_by(judgments: tuple[int, ...]) -> dict[int, list[str]]:
    """Adapters that each of some judgments trained."""
    return _trained_by(database_url(), judgments) if judgments else {}


def judgment(judgment_id: int) -> tuple[str, str, int] | None:
    """Who made a judgment, the verdict, and of which comparison; None where there is none."""

    def work(session: Any) -> tuple[str, str, int] | None:
        found = session.get(Judgment, judgment_id)
        if found is None:
            return None
        who = session.get_one(Annotator, found.annotator_id)
        return who.name, found.verdict.value, found.comparison_id

    return read(work)


@st.cache_data(ttl=300.0, max_entries=64, show_spinner=False)
def _pairs_of(url: str, snapshot_id: int, page: int) -> tuple[int, list[dict[str, Any]]]:
    del url
    start = (page - 1) * PAGE
    return read(
        lambda s: lineage_judgments.comparisons_of(s, snapshot_id, offset=start, limit=PAGE)
    )


@st.cache_data(ttl=30.0, max_entries=64, show_spinner=False)
def _trained_by(url: str, judgments: tuple[int, ...]) -> dict[int, list[str]]:
    del url
    return read(lambda session: lineage_judgments.trained_by(session, judgments))
