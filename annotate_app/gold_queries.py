"""Reads for the Gold page. Knows SQL's verbs and the cache; knows no page."""

from collections.abc import Sequence

import streamlit as st

from annotate_app.views import Pulse
from annotate_app.work_queries import pulse, read
from db import gold, gold_pairs
from db.gold import Known
from db.gold_pairs import Agreed, Pair
from db.settings import database_url

TTL = 300.0
"""Seconds that a read keyed by the pulse is kept."""


def listed() -> list[Known]:
    """Every gold pair with how it was answered; read anew each time, for it is changed here."""
    return read(gold.listed)


def pairs(ids: Sequence[int]) -> dict[int, Pair]:
    """The texts of some pairs, by comparison."""
    return read(lambda session: gold_pairs.pairs(session, ids))


def agreed() -> list[Agreed]:
    """Judged pairs on which all agreed; looked for again when a judgment or gold came."""
    return _agreed(database_url(), pulse(), len(listed()))


@st.cache_data(ttl=TTL, max_entries=4, show_spinner=False)
def _agreed(url: str, at: Pulse, golds: int) -> list[Agreed]:
    del url, at, golds
    return read(gold_pairs.agreed)
