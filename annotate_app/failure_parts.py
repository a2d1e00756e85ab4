"""Pieces of the failure explorer: choosers kept in the address, the two charts, one comparison.

Knows Streamlit and how a failure is shown. Knows no SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import streamlit as st

from annotate_app import failure_numbers, findings, interval_charts, lineage_queries, panels
from annotate_app.failure_numbers import (
    NOT_TOLD,
    answers_words,
    decided_words,
    outcome_words,
    said_words,
)
from annotate_app.failure_queries import Summary
from annotate_app.frames import pd
from annotate_app.stage import versus_html
from annotate_app.words import ago, clip, many, say
from db.decisions import Decision
from db.failure_texts import Failure, Said
from db.failures import Kind
from preference.grouped_rate import clustered_rate

T = TypeVar("T")
ROWS = 12
"""Rows of a chart; the table below it has them all."""
KINDS = {"label": "for training", "blind": "blind", "imported": "imported"}
COMMENTS = 4
"""Comments shown at once; all of them are with the judgments."""


def choose(
    label: str,
    options: Mapping[T, str],
    *,
    key: str,
    default: T,
    on_change: Callable[[], None],
    width: int,
) -> T:
    """A select box whose choice is in the address, the one made for the reader included.

    What it opens with depends on the ledger, so a link must name it to show the same later.
    """
    if key in st.session_state:
        valid = st.session_state[key] in options
    else:
        valid = st.query_params.get(key) in options.values()
    if not valid:
        st.session_state[key] = default
    elif key in st.session_state and key not in st.query_params:
        st.session_state[key] = st.session_state[key]  # what is set by us reaches the address
    picked = st.selectbox(
        label,
        list(options),
        index=None,
        format_func=lambda option: options.get(option, str(option)),
        key=key,
        bind="query-params",
        on_change=on_change,
        width=width,
    )
    return picked if picked in options else default  # type: ignore[return-value]


def why_figure(why: Sequence[tuple[str, int]], summary: Summary, colour: str) -> None:
    """What was given as the reason for losses."""
    lost = summary.total("lost")
    if not why:
        panels.empty(
            "Nobody said why",
            "Reasons are optional: on the **Label** page `t` opens them, and what is given there"
            " is counted here at once.",
        )
        return
    table = failure_numbers.why_frame(why, lost)
    tag, n = why[0]
    panels.figure(
        panels.drawn(
            interval_charts.intervals,
            table.head(ROWS),
            title=f"“{tag}” is given most often: over {n:,} of {many(lost, 'lost comparison')}",
            axis_title="Lost comparisons that carry the reason",
            reference=None,
            unit="comparison",
            colour=colour,
            ink=panels.ink(),
        ),
        table,
        key="failures-why",
        note=f"{summary.total('explained'):,} of {lost:,} carry a reason, given by those who"
        " preferred the other response or found both bad. Some, as “Clearer”, praise the other.",
        columns={
            "label": "Reason",
            "n": "Lost comparisons",
            "share": "Share",
            "between": "95 % interval, %",
        },
    )


def where_figure(summary: Summary, by: str, colour: str) -> None:
    """Win rates by journey or intent against the overall one."""
    table = failure_numbers.where_frame(summary.groups, by)
    if table.empty or list(table["label"]) == [NOT_TOLD]:
        panels.empty(
            f"These prompts name no {by}",
            f"Prompts that come with a {by} (as those of `data/persona_prompts.jsonl` do) show"
            " where an adapter is weak.",
        )
        return
    overall = clustered_rate(failure_numbers.sums(summary.groups)).value
    cut = f"The {ROWS} weakest of {len(table)}. " if len(table) > ROWS else ""
    panels.figure(
        panels.drawn(
            interval_charts.intervals,
            table.head(ROWS),
            title=failure_numbers.where_title(table, overall, by),
            axis_title="Win rate",
            unit="judgment",
            colour=colour,
            reference=overall,
            ink=panels.ink(),
        ),
        table,
        key=f"failures-by-{by}",
        note=f"{cut}The dashed line is the overall win rate, {findings.percent(overall)}; a tie"
        " counts half. One interval in twenty misses its true value by chance.",
        columns={
            "label": findings.sentence(by),
            "comparisons": "Comparisons",
            "lost": "Lost",
            "share": "Win rate",
            "between": "95 % interval, %",
            "n": "Judged",
        },
    )


def comparison(
    failure: Failure,
    kind: Kind,
    name: str,
    names: Callable[[str], str],
    itself: bool,
    give_back: Callable[[int, str], None] | None = None,
    decided: Decision | None = None,
) -> None:
    """One comparison: how it stands, what was asked and answered, why, and by whom.

    Args:
        failure: What to show.
        kind: What the list is of.
        name: Short name of the adapter in question.
        names: Short name of any.
        itself: Whether both responses are this adapter's.
        give_back: What returns a judgment (its id) with a note; None for who may not.
        decided: What an adjudicator decided, where one did; it counts in no number.
    """
    with st.container(border=True):
        st.markdown(_head(failure, kind, names, itself))
        if decided is not None:
            st.markdown(_decided(decided, failure.standing.side))
        st.html(_texts(failure, name, names, itself))
        _why(failure)
        with st.expander(f"Each judgment ({failure.standing.n:,})"):
            _each(failure)
            if give_back is not None:
                _return(failure, give_back)


def _decided(decided: Decision, side: str) -> str:
    """An adjudicator's decision beside the split, in one line."""
    note = f": “{say(decided.note)}”" if decided.note else ""
    over = many(decided.judgments, "judgment")
    return (
        f":blue-badge[:material/gavel: decided] {say(decided_words(decided, side))}{note}"
        f" :small[:gray[by {say(decided.by)} over {over}, {ago(decided.created_at)}]]"
    )


def _return(failure: Failure, give_back: Callable[[int, str], None]) -> None:
    """A form that gives one judgment back to its annotator with a note."""
    may = {each.judgment: each for each in failure.said if each.returnable}
    if not may:
        return
    at = f"return-{failure.standing.comparison}-{failure.standing.side}"
    with st.form(at, border=False, clear_on_submit=True):
        st.markdown(":small[Return a judgment to its annotator; it counts until they revise it.]")
        st.selectbox(
            "Judgment",
            list(may),
            format_func=lambda id: f"{may[id].annotator}: {said_words(may[id])}",
            key=f"{at}-which",
            width=330,
        )
        st.text_input("What to look at again", key=f"{at}-note", max_chars=600)
        st.form_submit_button(
            "Return it",
            icon=":material/undo:",
            on_click=lambda: give_back(
                st.session_state[f"{at}-which"], st.session_state[f"{at}-note"]
            ),
        )


def _head(failure: Failure, kind: Kind, names: Callable[[str], str], itself: bool) -> str:
    standing = failure.standing
    main, rest = outcome_words(standing, kind)
    parts = [f"**{main}**", *([rest] if rest else [])]
    parts.append("against itself" if itself else f"against **{say(names(failure.opponent))}**")
    asked = KINDS.get(failure.batch_kind, failure.batch_kind)
    parts.append(asked if failure.round is None else f"round {failure.round}, {asked}")
    line = " · ".join(parts)
    for count, badge in (
        (standing.simulated, "orange-badge[:material/smart_toy: SIMULATED"),
        (standing.automatic, "violet-badge[:material/gavel: AUTOMATIC"),
    ):
        if count:
            line += f" :{badge} {'all' if count == standing.n else f'{count:,} of {standing.n:,}'}]"
    for flag in dict.fromkeys(each.flag for each in failure.said if each.flag):
        line += f" :red-badge[:material/flag: {say(flag)}]"
    about = [word.replace("_", " ") for word in (failure.journey, failure.intent) if word]
    ids = [f"comparison {standing.comparison}", failure.batch]
    return f"{line}  \n:small[:gray[{' · '.join(say(each) for each in [*about, *ids])}]]"


def _texts(failure: Failure, name: str, names: Callable[[str], str], itself: bool) -> str:
    if not failure.known:
        unknown = "*(the import did not bring this text)*"
        return versus_html(failure.messages, (name, unknown), (names(failure.opponent), unknown))
    standing = failure.standing
    lost, won = standing.losses > standing.wins, standing.wins > standing.losses
    other = "its other response" if itself else names(failure.opponent)
    return versus_html(
        failure.messages,
        (_heading("Lost" if lost else "Preferred" if won else "", name), failure.response),
        (_heading("Preferred" if lost else "Lost" if won else "", other), failure.other),
    )


def _heading(word: str, name: str) -> str:
    return f"{word}: {name}" if word else findings.sentence(name)


def _why(failure: Failure) -> None:
    tags = failure_numbers.tag_counts(failure.said)
    lines: list[str] = []
    if tags:
        badges = [f":gray-badge[{say(tag)}{f' ×{n}' if n > 1 else ''}]" for tag, n in tags]
        lines.append("Reasons: " + " ".join(badges))
    commented = [each for each in failure.said if each.comment]
    lines += [
        f"“{say(clip(each.comment, 400))}” :small[:gray[{say(each.annotator)}]]"
        for each in commented[:COMMENTS]
    ]
    if len(commented) > COMMENTS:
        lines.append(f":small[:gray[and {many(len(commented) - COMMENTS, 'more comment')} below]]")
    if answers := answers_words(failure.said):
        lines.append(f":small[Of the preferred response, {answers}]")
    if lines:
        st.markdown("  \n".join(lines))


def _each(failure: Failure) -> None:
    trained = lineage_queries.trained_by(tuple(each.judgment for each in failure.said))
    table = pd.DataFrame([_row(each, trained.get(each.judgment, ())) for each in failure.said])
    panels.small_table(table[[name for name in table.columns if (table[name] != "").any()]])


def _row(said: Said, trained: Sequence[str]) -> dict[str, str]:
    kind = "" if said.kind.value == "human" else f" ({said.kind.value.upper()})"
    place = {True: "Response A", False: "Response B", None: ""}[said.first]
    return {
        "Who": said.annotator + kind,
        "Preferred": said_words(said),
        "Why": ", ".join(said.tags),
        "Comment": said.comment,
        "Flag": said.flag,
        "Shown as": place,
        "Looked": "" if said.dwell_ms is None else f"{said.dwell_ms / 1000:.0f} s",
        "When": ago(said.created_at),
        "Trained": ", ".join(trained),
    }
