"""Pieces that the analyst's and operator's pages are made of: opening, figure, table, notes.

Knows Streamlit and how we show data (finding first, count and age beside it, SIMULATED plainly,
a table under each chart, downloads). Knows no SQL and no statistics.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from annotate_app import charts
from annotate_app.frames import Frame
from annotate_app.style import PERSONA_COLOURS, page
from annotate_app.words import ago, many, plain, say
from db.writing import neutralise


def code(text: object) -> str:
    """An id in Markdown's code style."""
    line = " ".join(plain(str(text)).split()).replace("`", "'")
    return f"`{line}`" if line else ""


def ink() -> charts.Ink:
    """The chart colours of the reader's theme."""
    return charts.DARK if st.context.theme.type == "dark" else charts.LIGHT


def colour(persona: str | None) -> str:
    """A persona's colour, the accent for anything else."""
    return charts.colour_of(persona, PERSONA_COLOURS, ink())


def opening(title: str, finding: str) -> None:
    """The page's title, and what it found in one sentence."""
    page(title)
    st.header(say(finding), anchor=False)


def data_line(
    judgments: int, at: datetime | None, *, simulated: int = 0, automatic: int = 0, extra: str = ""
) -> None:
    """Count and age of the data, and plainly how much of it no person judged."""
    parts = [many(judgments, "judgment")]
    if at is not None:
        parts.append(f"newest {ago(at)}")
    if extra:
        parts.append(extra)
    marks = ""
    if simulated:
        share = 100 * simulated / max(1, judgments)
        said = "all of them" if simulated >= judgments else f"{simulated:,}, {share:.0f} %"
        marks += f" :orange-badge[:material/smart_toy: SIMULATED {said}]"
    if automatic:
        marks += f" :violet-badge[:material/gavel: AUTOMATIC {automatic:,}]"
    st.markdown(f":small[{' · '.join(parts)}]{marks}")


def drawn(draw: Callable[..., Any], frame: Frame, **options: Any) -> dict[str, Any]:
    """A chart as the browser takes it, drawn once for the same data.

    Building one takes 50 to 100 ms, most of it Altair checking its own parts; a page that is shown
    again spends nothing on it.

    Args:
        draw: a function of ``charts`` or ``interval_charts``.
        frame: its data.
        options: its keywords.
    """
    return _drawn(f"{draw.__module__}.{draw.__qualname__}", draw, frame, options)


@st.cache_data(ttl=300.0, max_entries=128, show_spinner=False)
def _drawn(
    name: str, _draw: Callable[..., Any], frame: Frame, options: dict[str, Any]
) -> dict[str, Any]:
    del name  # tells the drawings of one frame apart
    return _draw(frame, **options).to_dict(validate=False)


def figure(
    chart: dict[str, Any],
    table: Frame,
    *,
    key: str,
    note: str = "",
    columns: Mapping[str, str] | None = None,
) -> None:
    """A chart under its finding, with its numbers as a table and as files.

    Args:
        chart: what ``drawn`` gave; its title is the finding, which becomes the heading: that wraps
            and can be read aloud.
        table: what is drawn, as people read it.
        key: unique on the page; also the files' name.
        note: a line under the chart.
        columns: column to heading; only these are shown, in this order.
    """
    title = chart["title"]["text"]
    with st.container(key=f"figure-{key}"):
        st.markdown(f"**{say(title)}**")
        spec = {name: part for name, part in chart.items() if name != "title"}
        st.vega_lite_chart(spec, width="stretch", key=f"chart-{key}")
        if note:
            quiet(say(note))
        with st.expander("The numbers"):
            small_table(table, columns)
            downloads(table, key)


def small_table(table: Frame, columns: Mapping[str, str] | None = None) -> None:
    """A plain table that can be read aloud and copied; texts are shown as they are."""
    chosen = table if columns is None else table[list(columns)].rename(columns=dict(columns))
    shown = chosen.map(lambda value: say(value) if isinstance(value, str) else value)
    st.table(shown, border="horizontal", hide_index=True)


def downloads(table: Frame, name: str) -> None:
    """The table as CSV and JSON files."""
    with st.container(horizontal=True):
        _download_buttons(name, to_csv(table), to_json(table))


def downloads_when_asked(
    name: str, csv: Callable[[], str], records: Callable[[], str], note: str
) -> None:
    """A whole list as CSV and JSON files, made when asked for; ``note`` says what is in them."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _download_buttons(name, csv, records)
        quiet(note)


def _download_buttons(
    name: str, csv: str | Callable[[], str], records: str | Callable[[], str]
) -> None:
    for label, data, mime in (("CSV", csv, "text/csv"), ("JSON", records, "application/json")):
        st.download_button(
            label,
            data,
            file_name=f"personaloop-{name}.{label.lower()}",
            mime=mime,
            key=f"download-{name}-{label}",
            icon=":material/download:",
            on_click="ignore",
            type="tertiary",
        )


def choose_page(pages: int) -> int:
    """The page of a list, never beyond its end: it may have become shorter meanwhile."""
    if pages == 1:
        return 1
    if st.session_state.get("page", 1) > pages:
        st.session_state["page"] = pages
    return st.pagination(pages, key="page", bind="query-params")


@st.cache_data(ttl=300.0, max_entries=128, show_spinner=False)
def to_csv(table: Frame) -> str:
    """CSV whose texts no spreadsheet takes for a formula."""
    return table.map(neutralise).to_csv(index=False)


@st.cache_data(ttl=300.0, max_entries=128, show_spinner=False)
def to_json(table: Frame) -> str:
    """JSON records; times in ISO, nothing for what is not known."""
    records = json.loads(table.to_json(orient="records", date_format="iso", double_precision=6))
    return json.dumps(records, ensure_ascii=False, indent=1)


def live() -> Any:
    """A container for what is brought up to date by itself: a rerun does not make it flicker."""
    return st.container(key="pl-page")


def quiet(text: str) -> None:
    """Words of second rank, still easily read on both themes. The text is Markdown of ours."""
    st.markdown(f":small[:gray[{text}]]")


def empty(title: str, what: str, command: str = "") -> None:
    """What is missing, and what fills it."""
    with st.container(border=True):
        st.markdown(f"**{say(title)}**")
        st.markdown(what)
        if command:
            st.code(command, language="bash")


def nothing_here(judgments: int = 0) -> None:
    """Nothing under the filters that ranks adapters: what to change, and what gives some."""
    if judgments:
        empty(
            "No two adapters have been compared here",
            f"All {many(judgments, 'judgment')} compare responses of one adapter: the next"
            " retraining learns from them. Its new adapter then meets the old one, blind.",
        )
        return
    empty(
        "No judgments here",
        "Choose another persona, round or kind of comparison above, or judge some pairs on the"
        " **Label** page. Numbers appear as soon as two adapters have been compared.",
    )
    link("label", "Judge some pairs", ":material/thumbs_up_down:")


def link(
    file: str, label: str, icon: str | None = None, query: Mapping[str, str] | None = None
) -> None:
    """A link to another of our pages, where this person's navigation has it."""
    try:
        st.page_link(f"app_pages/{file}.py", label=label, icon=icon, query_params=query)
    except Exception:  # noqa: BLE001 - Streamlit raises several kinds for a page that is not there
        return


def persona_heading(name: str, persona: str | None) -> None:
    """A section's heading with the persona's colour beside it."""
    st.html(
        f'<h3 style="margin:.4rem 0 0;font-size:1.2rem;font-weight:600">'
        f'<span style="display:inline-block;width:.7em;height:.7em;border-radius:50%;'
        f'margin-right:.5em;background:{colour(persona)}"></span>{_html(name)}</h3>'
    )


def _html(text: str) -> str:
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


__all__ = [
    "choose_page",
    "code",
    "colour",
    "data_line",
    "downloads",
    "downloads_when_asked",
    "drawn",
    "empty",
    "figure",
    "ink",
    "link",
    "live",
    "nothing_here",
    "opening",
    "page",
    "persona_heading",
    "quiet",
    "say",
    "small_table",
    "to_csv",
    "to_json",
]
