"""The results' pages with many judgments behind them: first view and every later one.

The clock covers the page's whole script on the server, ledger and statistics included, as Streamlit
runs it for a browser; what the browser draws afterwards is not in it. There is no peer: the bars
are seconds.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ledger import build
from bench.measure import REPOSITORY, Measured, Side, interleave
from bench.rows import Row

Work = Callable[[], dict[str, Any] | None]
JUDGMENTS = {"small": 100_000, "full": 1_000_000}
PAGES = ("overview", "ratings", "win_rates", "annotators", "checks", "failures", "rounds")
FIRST_BAR_S, LATER_BAR_S = 1.5, 0.2


def rows(size: str) -> list[Row]:
    """Two rows a page, on a ledger in a temporary folder."""
    judgments = JUDGMENTS[size]
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="personaloop-bench-") as folder:
        url = build(Path(folder) / "ledger.db", judgments)
        for page in PAGES:
            params = {"url": url, "outputs": folder, "page": page}
            first, later = interleave(
                [
                    Side("first view", "bench.pages:show", {**params, "fresh": True}),
                    Side("later view", "bench.pages:show", {**params, "fresh": False}),
                ],
                rounds=5,
            )
            found.append(_row(page, judgments, first, "first", FIRST_BAR_S))
            found.append(_row(page, judgments, later, "later", LATER_BAR_S))
    return found


def _row(page: str, judgments: int, side: Measured, which: str, bar: float) -> Row:
    row = Row(
        "pages",
        f"{page.replace('_', ' ')}, {which} view, {judgments:,} judgments",
        "ms",
        side.median,
        "",
        None,
        missing=[f"{side.name}: {side.missing}"] if side.missing else [],
        runs={side.name: side.seconds},
    )
    if row.ours is not None:
        row.notes.append(f"at most {bar * 1e3:,.0f} ms: {'met' if row.ours <= bar else 'missed'}")
    return row


@contextmanager
def show(url: str, outputs: str, page: str, fresh: bool) -> Iterator[Work]:
    """A page's script, run as for a signed-in admin; a fresh one has nothing cached."""
    os.environ["DATABASE_URL"] = url
    os.environ["PERSONALOOP_OUTPUTS"] = outputs
    import logging

    logging.disable(logging.WARNING)  # Streamlit says that there is no browser
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    from annotate_app import session, settling
    from db.models import AnnotatorKind, Role

    admin = session.Me(1, "admin", Role.ADMIN, AnnotatorKind.HUMAN)
    session.signed_in = lambda: admin
    file = REPOSITORY / "annotate_app" / "app_pages" / f"{page}.py"
    settling.settle()

    def work() -> None:
        if fresh:
            st.cache_data.clear()
            st.cache_resource.clear()
        ran = AppTest.from_file(str(file), default_timeout=120).run()
        if ran.exception:
            raise RuntimeError(str(ran.exception[0].message))

    yield work
