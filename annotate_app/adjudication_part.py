"""One pair to decide: blind first, then beside what the annotators said, then for good.

What the annotators said is read only once the adjudicator has answered. Knows Streamlit; no SQL.
"""

from collections.abc import Sequence

import streamlit as st

from annotate_app import desk_actions, panels
from annotate_app.flag_parts import attempt
from annotate_app.session import Me, acting, require
from annotate_app.stage import pair_html
from annotate_app.words import ago, many, safe_html, say
from db import adjudication
from db.disagreements import Disagreement
from db.session import readers

Answer = tuple[str, int | None]
ANSWERS: dict[Answer, tuple[str, str]] = {
    ("a", 2): ("A is much better", "1"),
    ("a", 1): ("A is better", "2"),
    ("tie", None): ("Tie", "3"),
    ("b", 1): ("B is better", "4"),
    ("b", 2): ("B is much better", "5"),
    ("both_bad", None): ("Both bad", "0"),
}
"""What can be said, in words, and its key: the same as on the label page."""
LATER = "decide-later"


def show(person: Me, queue: Sequence[Disagreement]) -> None:
    """The next pair that this person may decide."""
    later: list[int] = st.session_state.setdefault(LATER, [])
    first: Answer | None = None
    with readers()() as session:
        case = adjudication.next_case(session, person.id, queue, later)
        if case is not None:
            told = adjudication.first_of(session, case.comparison_id, person.id)
            first = None if told is None else (told[0].value, told[1])
    if case is None:
        _none(len(queue), len(later))
        return
    with st.container(border=True, key="pl-case"):
        _head(case, queue)
        st.html(pair_html(case.messages, case.response_a, case.response_b))
        if first is None:
            _ask(case.comparison_id)
        else:
            _confirm(case, first)


def _none(queue: int, later: int) -> None:
    if not queue:
        panels.empty(
            "Nobody disagrees",
            "A pair comes here once every judgment that was wanted of it is in and not all say the"
            " same. Batches with an overlap of 2 or more give such pairs.",
        )
        return
    what = f"{many(queue, 'pair')} to decide, none of them by you now"
    why = "You left them for later." if later else "You judged or wrote them; another admin can."
    panels.empty(what, why)
    if later:
        st.button("Look at them again", on_click=lambda: st.session_state.pop(LATER, None))


def _head(case: adjudication.Case, queue: Sequence[Disagreement]) -> None:
    told = next(each for each in queue if each.comparison_id == case.comparison_id)
    split = ", no majority" if told.split else ""
    st.markdown(
        f"**{say(case.persona or 'No persona')}** :small[:gray[{say(case.summary)}]]  \n"
        f":small[:gray[{many(told.judgments, 'judgment')} that differ{split}]]"
    )
    if case.own:
        st.warning("You judged this pair yourself, and no other admin could decide it.")
    if case.rubric:
        with st.expander("What to look at"):
            st.html(safe_html(case.rubric))


def _ask(comparison_id: int) -> None:
    panels.quiet("Answer first; what the annotators said is shown afterwards.")
    with st.container(horizontal=True):
        for answer, (words, key) in ANSWERS.items():
            st.button(
                words,
                key=f"case-{answer[0]}-{answer[1]}-{comparison_id}",
                on_click=_answer,
                args=(comparison_id, answer),
                shortcut=key,
            )
        st.button(
            "Later",
            key=f"case-later-{comparison_id}",
            on_click=_later,
            args=(comparison_id,),
            type="tertiary",
        )


def _answer(comparison_id: int, answer: Answer) -> None:
    def work() -> None:
        acting("admin")
        desk_actions.answer_blind(comparison_id, require("admin").id, answer)

    attempt(work)


def _later(comparison_id: int) -> None:
    st.session_state[LATER] = [*st.session_state.get(LATER, []), comparison_id]


def _confirm(case: adjudication.Case, first: Answer) -> None:
    st.markdown(f"You say: **{ANSWERS[first][0]}**. The annotators said:")
    with readers()() as session:
        told = adjudication.opinions(session, case.comparison_id, case.placement)
    st.markdown("\n".join(f"- {_said(each)}" for each in told))
    number = case.comparison_id
    with st.form(f"decide-{number}", border=False):
        st.selectbox(
            "What stands",
            list(ANSWERS),
            index=list(ANSWERS).index(first),
            format_func=lambda answer: ANSWERS[answer][0],
            key=f"final-{number}",
        )
        st.text_input("Why (optional)", key=f"why-{number}", max_chars=500)
        st.form_submit_button(
            "Decide",
            key=f"settle-{number}",
            type="primary",
            on_click=_decide,
            args=(number, first, case.seen),
            icon=":material/gavel:",
        )


def _said(opinion: adjudication.Opinion) -> str:
    verdict = opinion.verdict.value
    strength = (opinion.strength or 1) if verdict in {"a", "b"} else None
    kind = opinion.kind.value
    line = f"**{ANSWERS[verdict, strength][0]}** {say(opinion.annotator)}"
    if kind != "human":
        line += f" :orange-badge[{kind.upper()}]"
    if opinion.flag:
        line += f" :red-badge[:material/flag: {say(opinion.flag)}]"
    if opinion.tags:
        line += " " + " ".join(f":gray-badge[{say(tag)}]" for tag in opinion.tags)
    if opinion.comment:
        line += f" “{say(opinion.comment)}”"
    return f"{line} :small[:gray[{ago(opinion.created_at)}]]"


def _decide(comparison_id: int, first: Answer, seen: Sequence[int]) -> None:
    final: Answer = st.session_state[f"final-{comparison_id}"]
    note = str(st.session_state.get(f"why-{comparison_id}", ""))

    def work() -> None:
        acting("admin")
        desk_actions.decide(
            comparison_id, require("admin").id, final, first=first, seen=seen, note=note
        )

    attempt(work, f"Comparison {comparison_id} is decided: {ANSWERS[final][0]}.")
