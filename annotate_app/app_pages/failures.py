"""Failures: the comparisons an adapter lost, side by side, with what people said of them."""

from math import ceil

import streamlit as st

from annotate_app import (
    actions,
    failure_numbers,
    failure_parts,
    failure_queries,
    findings,
    panels,
    work_queries,
)
from annotate_app.chart_parts import unique
from annotate_app.naming import short, short_names
from annotate_app.session import acting, require
from annotate_app.words import many
from db.errors import PersonaLoopError
from db.failure_words import LONGEST_SEARCH, tidy
from db.failures import Against, Kind, Order, Scope, Wish

ALL = "all"
AGAINST = {Against.OTHERS: "other adapters", Against.ITSELF: "itself"}
KINDS = {
    Kind.LOST: "lost",
    Kind.MUCH: "lost by much",
    Kind.BOTH_BAD: "both bad",
    Kind.FLAGGED: "flagged",
}
ORDERS = {Order.AGREED: "most agreed first", Order.NEWEST: "newest first"}
LISTED = {
    Kind.LOST: (
        "lost {}",
        "more judgments preferred the other response than this one",
    ),
    Kind.MUCH: (
        "{} lost by much",
        "at least half of those who preferred the other said “much better”",
    ),
    Kind.BOTH_BAD: ("{}", "at least half of the judgments found both bad"),
    Kind.FLAGGED: ("flagged {}", "somebody flagged the pair"),
}

reader = require("analyst")
names = work_queries.personas()
now = {persona: change.adapter for persona, change in work_queries.incumbents().items()}
short_of = short_names(work_queries.rounds())
top = st.container()


def give_back(judgment_id: int, note: str) -> None:
    """A form's callback: return a judgment to its annotator."""
    try:
        actions.return_judgment(judgment_id, note, actor=acting("admin"))
        st.session_state["failures-said"] = ("ok", "The judgment is back with its annotator.")
    except PersonaLoopError as error:
        st.session_state["failures-said"] = ("no", findings.sentence(str(error)))


def first_page() -> None:
    """Another list begins at its beginning."""
    st.session_state["page"] = 1


def choose_scope() -> Scope | None:
    """Whose failures, from the address or this row; None while there is no adapter at all."""
    options = {slug: names[slug] for slug in names}
    if failure_queries.without_persona():
        options[""] = "No persona"
    options = dict(zip(options, unique(list(options.values())), strict=True))
    if not options:
        return None
    opening = failure_queries.most_failing([(slug, now[slug]) for slug in names if slug in now])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        persona = failure_parts.choose(
            "Persona",
            options,
            key="persona",
            default=opening if opening is not None else next(iter(options)),
            on_change=first_page,
            width=210,
        )
        known = failure_queries.adapters_of(persona or None)
        if not known:
            return None
        called = unique([short(adapter, short_of, persona) for adapter in known])
        adapter = failure_parts.choose(
            "Adapter",
            dict(zip(known, called, strict=True)),
            key="adapter",
            default=known[0],
            on_change=first_page,
            width=210,
        )
        numbers = [ALL, *map(str, failure_queries.round_numbers(persona or None))]
        number = st.selectbox(
            "Round", numbers, key="round", bind="query-params", on_change=first_page, width=100
        )
        against = st.selectbox(
            "Against",
            list(AGAINST),
            format_func=AGAINST.__getitem__,
            key="against",
            bind="query-params",
            on_change=first_page,
            width=160,
        )
        people = st.toggle("People only", key="people", bind="query-params", on_change=first_page)
    return Scope(
        adapter, persona or None, None if number == ALL else int(number), people, Against(against)
    )


def choose_wish(why: list[tuple[str, int]]) -> Wish:
    """Which of its comparisons, in which order."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.selectbox(
            "Show",
            list(KINDS),
            format_func=KINDS.__getitem__,
            key="show",
            bind="query-params",
            on_change=first_page,
            width=150,
        )
        tag = st.selectbox(
            "Reason",
            [ALL, *(tag for tag, _ in why)],
            format_func=lambda tag: "any or none" if tag == ALL else tag,
            key="reason",
            bind="query-params",
            on_change=first_page,
            width=210,
        )
        order = st.selectbox(
            "Order",
            list(ORDERS),
            format_func=ORDERS.__getitem__,
            key="order",
            bind="query-params",
            on_change=first_page,
            width=190,
        )
        search = st.text_input(
            "Words in prompts, responses or comments",
            key="search",
            bind="query-params",
            on_change=first_page,
            max_chars=LONGEST_SEARCH,
            type="search",
            width=330,
        )
    return Wish(Kind(kind), None if tag == ALL else tag, tidy(search or ""), Order(order))


def show_charts(scope: Scope, summary: failure_queries.Summary, why: list[tuple[str, int]]) -> None:
    """Why it loses, and where."""
    colour = panels.colour(scope.persona)
    left, right = st.columns(2, gap="large")
    with left:
        if summary.total("lost"):
            failure_parts.why_figure(why, summary, colour)
        else:
            panels.empty(
                "No loss to explain",
                "No comparison under these filters was lost. **Both bad** and **flagged** below may"
                " still list some.",
            )
    with right:
        if scope.against is Against.ITSELF:
            panels.empty(
                "No win rate against itself",
                "Each of these comparisons is won and lost by the same adapter. They train; where"
                " it is weak shows **against other adapters**.",
            )
            return
        by = st.segmented_control(
            "Win rate by",
            ["journey", "intent"],
            default="journey",
            required=True,
            key="by",
            bind="query-params",
        )
        failure_parts.where_figure(summary, by or "journey", colour)


def download(scope: Scope, wish: Wish, total: int) -> None:
    """The whole list under these filters as files, made when asked for."""
    whole = {"persona": scope.persona, "adapter": scope.adapter}

    def csv() -> str:
        found = failure_queries.for_a_file(scope, wish)
        return panels.to_csv(failure_numbers.file_frame(found, whole))

    def json() -> str:
        found = failure_queries.for_a_file(scope, wish)
        return panels.to_json(failure_numbers.file_frame(found, whole, nested=True))

    most = failure_queries.MOST_IN_A_FILE
    cut = f"the first {most:,} in this order" if total > most else "the whole list"
    panels.downloads_when_asked("failures", csv, json, f"{cut}; JSON has each judgment as well")


def show_list(scope: Scope, wish: Wish, summary: failure_queries.Summary) -> None:
    """The comparisons, a page at a time."""
    total = failure_queries.listed(scope, wish)
    what, meaning = LISTED[wish.kind]
    if scope.against is Against.ITSELF and wish.kind is Kind.LOST:
        what, meaning = "{}", "one of two responses of this adapter was preferred"
    if not total:
        narrowed = wish.tag is not None or wish.search
        panels.empty(
            f"No {what.format('comparison')}{' under these filters' if narrowed else ''}",
            f"{many(summary.total('comparisons'), 'judged comparison')}, and in none of them"
            f" {meaning}" + (" and the reason and words above occur." if narrowed else "."),
        )
        return
    pages = ceil(total / failure_queries.PAGE)
    page = panels.choose_page(pages)
    start = (page - 1) * failure_queries.PAGE
    end = min(total, start + failure_queries.PAGE)
    counted = f"{total:,} {what.format('comparison' if total == 1 else 'comparisons')}"
    span = f"{start + 1:,} to {end:,} of " if pages > 1 else ""
    panels.quiet(f"{span}{counted}: {meaning}")
    called = short(scope.adapter, short_of, scope.persona)
    said = st.session_state.pop("failures-said", None)
    if said:
        (st.success if said[0] == "ok" else st.error)(panels.say(said[1]))
    shown = failure_queries.page(scope, wish, page)
    decided = failure_queries.decided([each.standing.comparison for each in shown])
    for failure in shown:
        failure_parts.comparison(
            failure,
            wish.kind,
            called,
            lambda adapter: short(adapter, short_of, scope.persona),
            scope.against is Against.ITSELF,
            give_back if reader.may("admin") else None,
            decided.get(failure.standing.comparison),
        )
    download(scope, wish, total)
    if pages > 1:
        st.markdown(":small[[Back to the top of the list](#comparisons)]")


def body(scope: Scope | None) -> None:
    """Everything below the choice of adapter."""
    if scope is None:
        with top:
            panels.opening("Failures", "There is no adapter here yet")
            panels.data_line(0, None)
        panels.empty(
            "No adapter has answered here",
            "Failures are comparisons that an adapter lost. Sample personas with their first"
            " candidates come with the command below; judgments then come from **Label**.",
            "personaloop init --sample",
        )
        return
    summary = failure_queries.summary(scope)
    judged, lost = summary.total("comparisons"), summary.total("lost")
    why = failure_queries.reasons(scope) if summary.total("explained") else []
    with top:
        called = short(scope.adapter, short_of, scope.persona)
        persona = names.get(scope.persona or "", "")
        said = failure_numbers.finding(
            called,
            persona,
            judged,
            lost,
            why,
            itself=scope.against is Against.ITSELF,
            narrowed=scope.round is not None or scope.people_only,
        )
        panels.opening("Failures", said)
        panels.data_line(
            summary.total("judgments"),
            summary.at,
            simulated=summary.total("simulated"),
            automatic=summary.total("automatic"),
            extra="answers now" if now.get(scope.persona or "") == scope.adapter else "",
        )
    if not judged:
        panels.empty(
            "Nothing of this adapter has been judged under these filters",
            "Blind comparisons on the **Label** page set it against others; choose another round,"
            " adapter, or comparisons **against itself** above.",
        )
        panels.link("label", "Judge some pairs", ":material/thumbs_up_down:")
        return
    show_charts(scope, summary, why)
    st.subheader("Comparisons", anchor="comparisons")
    show_list(scope, choose_wish(why), summary)


body(choose_scope())
