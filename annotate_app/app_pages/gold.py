"""Gold: comparisons with a known answer, how they are answered, and how many are mixed in."""

import streamlit as st

from annotate_app import actions, gold_queries, panels, work_queries
from annotate_app.gold_numbers import ANSWERS, by_doubt, doubtful, finding, share
from annotate_app.pressing import Presses
from annotate_app.session import acting, require
from annotate_app.stage import versus_html
from annotate_app.words import clip, many
from db.fates import MOST as HIGHEST

SHOWN = 30
"""Gold pairs listed with their texts; the command lists all."""

require("admin")


_presses = Presses("gold-said")
attempt = _presses.attempt


def retire(comparison_id: int) -> None:
    """A button's callback."""
    attempt(
        lambda: actions.retire_gold(comparison_id, actor=acting("admin")),
        "Retired: it is shown to nobody any more; its answers stay counted.",
    )


def add(comparison_id: int, answer: str) -> None:
    """A button's callback."""
    attempt(
        lambda: actions.add_gold(comparison_id, answer, actor=acting("admin")),
        "Added: whoever has not met this pair may get it from now on.",
    )


def set_rates(batch_id: int, gold_key: str, repeat_key: str) -> None:
    """A number field's callback."""
    rates = st.session_state[gold_key] / 100, st.session_state[repeat_key] / 100
    attempt(
        lambda: actions.set_rates(
            batch_id, gold_rate=rates[0], repeat_rate=rates[1], actor=acting("admin")
        ),
        "Saved; it holds from the next pair on.",
    )


def texts(pair, answer: str) -> str:
    """Both responses under what is known of them."""
    better = {"a": ("A: known to be better", "B"), "b": ("A", "B: known to be better")}
    one, other = better.get(answer, ("A", "B"))
    return versus_html(pair.messages, (one, pair.text_a), (other, pair.text_b))


def question(pair) -> str:
    """What the conversation ends with, short."""
    return panels.say(clip(str(pair.messages[-1].get("content", "")) if pair.messages else "", 80))


def item(each, pair, names) -> None:
    """One gold pair."""
    mark = ":orange-badge[may be wrong] " if doubtful(each) else ""
    mark += "" if each.active else ":gray-badge[retired] "
    told = share(each.right, each.answered).said
    with st.expander(f"{mark}**{ANSWERS[each.answer.value]}** · {told} · {question(pair)}"):
        if doubtful(each):
            st.markdown(
                "Most people answer this one differently. Read it again: where they are right,"
                " retire it."
            )
        st.html(texts(pair, each.answer.value))
        who = names.get(each.persona, "") if each.persona else ""
        about = [f"comparison {each.comparison_id}", each.batch, who]
        panels.quiet(panels.say(" · ".join(filter(None, about))))
        if each.purpose == "gold" and each.active:
            st.button(
                "Retire",
                key=f"retire-{each.comparison_id}",
                on_click=retire,
                args=(each.comparison_id,),
            )


def rates(batches) -> None:
    """How much is mixed into each batch that is not finished."""
    st.subheader("How much is mixed in", anchor=False)
    panels.quiet(
        "Per cent of each annotator's pairs in a batch. Who is right at least 75 % of the time is"
        " paused in 1 of 20 careers at most; who guesses, after some 20 gold answers: at 10 %"
        " after about 200 pairs."
    )
    for batch in batches:
        with st.container(border=True):
            head, gold_column, repeat_column = st.columns([5, 2, 2], vertical_alignment="bottom")
            head.markdown(
                f"**{panels.say(batch.name)}**  \n:small[:gray[{many(batch.left, 'judgment')}"
                " still wanted]]"
            )
            keys = f"gold-rate-{batch.id}", f"repeat-rate-{batch.id}"
            told = batch.gold_rate, batch.repeat_rate
            labels = "Gold, %", "Own pairs again, %"
            for column, key, rate, label in zip(
                (gold_column, repeat_column), keys, told, labels, strict=True
            ):
                column.number_input(
                    label,
                    value=round(100 * rate),
                    min_value=0,
                    max_value=round(100 * HIGHEST),
                    step=1,
                    key=key,
                    on_change=set_rates,
                    args=(batch.id, *keys),
                )


def candidates(found) -> None:
    """Judged pairs that are fit to become gold."""
    st.subheader("Add pairs that everybody agreed on", anchor=False)
    if not found:
        panels.empty(
            "No judged pair is fit yet",
            "A pair can become gold once at least 3 people judged it and all said the same. Pairs"
            " with known answers can also be imported.",
            "personaloop import comparisons FILE --purpose gold",
        )
        return
    for each in found:
        title = f"**{ANSWERS[each.verdict.value]}**, said all {each.people} · {question(each.pair)}"
        with st.expander(title):
            st.html(texts(each.pair, each.verdict.value))
            st.button(
                "Make it gold",
                key=f"add-{each.pair.comparison_id}",
                on_click=add,
                args=(each.pair.comparison_id, each.verdict.value),
                icon=":material/add:",
            )


known = by_doubt(gold_queries.listed())
panels.opening("Gold", finding(known))
panels.quiet(
    "Pairs with a known answer, hidden among the others: nothing tells them apart while judging."
    " Nobody's gold answers count in results or training."
)
_presses.said()
listed = known[:SHOWN]
pairs = gold_queries.pairs([each.comparison_id for each in listed])
for each in listed:
    if each.comparison_id in pairs:
        item(each, pairs[each.comparison_id], work_queries.personas())
if len(known) > SHOWN:
    panels.quiet(f"and {len(known) - SHOWN:,} more; `personaloop gold list` has all")
if not known:
    panels.empty(
        "No pair has a known answer",
        "Add some below, or import them; then set below how many are mixed in.",
    )
open_batches = [each for each in work_queries.batches() if each.state != "closed" and each.left]
if open_batches:
    rates(open_batches)
candidates(gold_queries.agreed())
