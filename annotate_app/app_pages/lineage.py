"""Lineage: from judgments to an adapter and what became of it, and back from a judgment."""

from math import ceil
from typing import Any

import streamlit as st

from annotate_app import findings, lineage_queries, panels, work_queries
from annotate_app.chart_parts import unique
from annotate_app.frames import pd
from annotate_app.lineage_tree import learned_words, tree_html
from annotate_app.naming import short, short_names
from annotate_app.session import require
from annotate_app.stage import versus_html
from annotate_app.words import ago, clip, many

PREFERRED = {"a": "A", "b": "B", "tie": "tie", "both_bad": "both bad"}

require("analyst")
names = work_queries.personas()
short_of = short_names(work_queries.rounds())
answering = {persona: change.adapter for persona, change in work_queries.incumbents().items()}
known = [one for one in work_queries.adapters() if one.kind != "external" and one.persona in names]
people = {person.id: person.name for person in work_queries.people()}
for one in known:
    if one.metrics.get("without"):
        of = short(str(one.metrics.get("counterfactual_of", "")), short_of, one.persona)
        whom = ", ".join(people.get(each, str(each)) for each in one.metrics["without"])
        short_of[one.id] = f"{of or 'an adapter'} without {whom}"


def first_page() -> None:
    """Another adapter's list begins at its beginning."""
    st.session_state["page"] = 1


def choose() -> Any:
    """Whose lineage: the address names it by its id, so that links to it last."""
    there = {one.id: one for one in known}
    # What answers now comes first, then the newest; the page opens with one that learned something.
    order = sorted(known, key=lambda one: one.id not in answering.values())
    learned = [one for one in order if one.run is not None] or order
    labels = [f"{names[one.persona or '']}: {name_of(one.id)}" for one in order]
    called: dict[str, str] = dict(zip((one.id for one in order), unique(labels), strict=True))
    asked = st.query_params.get("adapter", "")
    if asked in there and st.session_state.get("lineage-shown") != asked:
        st.session_state["lineage-of"] = asked
    if st.session_state.get("lineage-of") not in there:
        st.session_state["lineage-of"] = learned[0].id
    picked = st.selectbox(
        "Adapter",
        list(called),
        format_func=lambda one: str(called.get(one, one)),
        key="lineage-of",
        on_change=first_page,
        width=420,
    )
    st.session_state["lineage-shown"] = st.query_params["adapter"] = picked
    return there[picked]


def name_of(adapter_id: str) -> str:
    """An adapter's short name."""
    persona = next((one.persona for one in known if one.id == adapter_id), None)
    return short(adapter_id, short_of, persona)


def what_it_trained(judgment_id: int) -> None:
    """One judgment, asked for in the address, and its adapters."""
    found = lineage_queries.judgment(judgment_id)
    with st.container(border=True):
        if found is None:
            st.markdown(f"There is no judgment {judgment_id}.")
            return
        who, verdict, comparison = found
        trained = lineage_queries.trained_by((judgment_id,)).get(judgment_id, [])
        said = ", ".join(panels.code(each) for each in trained)
        st.markdown(
            f"**Judgment {judgment_id}** by {panels.say(who)} on comparison {comparison}"
            f" ({PREFERRED[verdict]}) " + (f"trained {said}." if said else "trained no adapter.")
        )


def what_if(node: Any) -> None:
    """The numbers of a counterfactual beside the adapter that it belongs to."""
    found = node["metrics"].get("counterfactual")
    if not found:
        return
    st.subheader("With and without", anchor=False)
    rows = [
        ("Held-out accuracy", share(found["factual"]), share(found["other"])),
        ("… on the others' pairs", share(found["factual_by_rest"]), share(found["other_by_rest"])),
    ]
    panels.small_table(pd.DataFrame(rows, columns=["", "As it is", "Without"]))
    changed = found["pairs"]
    parts = [
        f"{changed['lost']:,} of {many(changed['before'], 'pair')} lost",
        f"{changed['flipped']:,} turned round",
        f"both prefer the same response in {share(found['agreement'])}",
    ]
    if found["cosine"] is not None:
        parts.append(
            f"changes of the weights: cosine {found['cosine']:.2f}, different by"
            f" {findings.percent(found['relative_difference'])} of their length"
        )
    st.markdown(" · ".join(panels.say(part) for part in parts))


def share(told: Any) -> str:
    """A share with its interval."""
    if told["value"] is None:
        return "no held-out pair"
    said = findings.estimate(told["value"], told["ci_low"], told["ci_high"])
    return f"{said} of {many(told['pairs'], 'pair')}"


def pair(each: Any) -> None:
    """One comparison of the snapshot with its judgments."""
    judged = each["judgments"]
    counts = {word: sum(PREFERRED[one["verdict"]] == word for one in judged) for word in
              PREFERRED.values()}  # fmt: skip
    said = ", ".join(f"{word} {n}" for word, n in counts.items() if n)
    last = str(each["messages"][-1].get("content", "")) if each["messages"] else ""
    with st.expander(f"{panels.say(clip(last, 90))} :small[:gray[{said}]]"):
        titles = [f"{side}: {name_of(each[f'adapter_{side.lower()}'])}" for side in "AB"]
        st.html(
            versus_html(each["messages"], (titles[0], each["text_a"]), (titles[1], each["text_b"]))
        )
        trained = lineage_queries.trained_by(tuple(one["id"] for one in judged))
        panels.small_table(pd.DataFrame([row(one, trained) for one in judged]))
        panels.quiet(f"comparison {each['comparison']}, {panels.say(each['batch'])}")


def row(one: Any, trained: dict[int, list[str]]) -> dict[str, str]:
    """One judgment as people read it."""
    kind = "" if one["kind"] == "human" else f" ({one['kind'].upper()})"
    much = " by much" if one["strength"] == 2 else ""
    return {
        "Judgment": str(one["id"]),
        "Who": one["annotator"] + kind,
        "Preferred": PREFERRED[one["verdict"]] + much,
        "When": ago(one["at"]),
        "Trained": ", ".join(name_of(each) for each in trained.get(one["id"], [])),
    }


def pairs(snapshot_id: int) -> None:
    """The comparisons that it learned from, a page at a time."""
    st.subheader("The pairs behind it", anchor="pairs")
    total, _ = lineage_queries.pairs_of(snapshot_id, 1)
    page = panels.choose_page(max(1, ceil(total / lineage_queries.PAGE)))
    panels.quiet(
        f"{many(total, 'comparison')} in snapshot {snapshot_id}, A and B in the ledger's own order."
        " Ties and both bad are in it and make no pair."
    )
    for each in lineage_queries.pairs_of(snapshot_id, page)[1]:
        pair(each)


def body() -> None:
    """Everything, once there is an adapter."""
    if not known:
        panels.opening("Lineage", "There is no adapter yet")
        panels.empty(
            "Nothing to trace yet",
            "Sample personas come with adapters; those that learn from judgments come from"
            " **Retrain** on the Training page.",
            "personaloop init --sample",
        )
        return
    top = st.container()
    chosen = choose()
    node = work_queries.lineage(chosen.id)
    taken = node["snapshot"]
    called = findings.sentence(name_of(chosen.id))
    with top:
        answers = ", and answers now" if chosen.id in answering.values() else ""
        persona = names[chosen.persona]
        panels.opening("Lineage", f"{called} of {persona} {learned_words(taken)}{answers}")
        counts = taken["by_kind"] if taken else {}
        panels.data_line(
            taken["judgments"] if taken else 0,
            None,
            simulated=counts.get("simulated", 0),
            automatic=counts.get("automatic", 0),
        )
    asked = st.query_params.get("judgment", "")
    if asked.isdecimal() and len(asked) < 12:
        what_it_trained(int(asked))
    st.html(tree_html(node, short_of, list(answering.values())))
    what_if(node)
    if taken:
        pairs(taken["id"])


body()
