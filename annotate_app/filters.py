"""The filters that the results' pages share; they live in the page's address.

Knows Streamlit and what can be chosen; reads nothing but the lists to choose from.
"""

from dataclasses import dataclass

import streamlit as st

from annotate_app import queries, results, work_queries

ALL = "all"
EVERYTHING, LABEL, BLIND, IMPORTED = "every comparison", "for training", "blind", "imported"
KINDS = {EVERYTHING: None, LABEL: "label", BLIND: "blind", IMPORTED: "imported"}


@dataclass(frozen=True)
class Chosen:
    """What the reader looks at.

    Attributes:
        persona: slug, or None for all.
        round: number, or None for all.
        kind: of batch, or None for all.
        include_simulated: whether judgments by annotators that are no people count.
    """

    persona: str | None
    round: int | None
    kind: str | None
    include_simulated: bool

    def analysis(self) -> results.Analysis:
        """Everything that the judgments under these filters say."""
        return queries.analysis(
            self.persona,
            round=self.round,
            batch_kind=self.kind,
            include_simulated=self.include_simulated,
        )


def shown() -> Chosen:
    """The row of filters, and what is chosen."""
    names = work_queries.personas()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        persona = st.selectbox(
            "Persona",
            [ALL, *names],
            format_func=lambda slug: "All personas" if slug == ALL else names[slug],
            key="persona",
            bind="query-params",
            width=220,
        )
        numbers = sorted(
            {view.number for view in work_queries.rounds() if persona in (ALL, view.persona)}
        )
        number = st.selectbox(
            "Round", [ALL, *map(str, numbers)], key="round", bind="query-params", width=110
        )
        kind = st.selectbox(
            "Comparisons", list(KINDS), key="comparisons", bind="query-params", width=190
        )
        people_only = st.toggle("People only", key="people", bind="query-params")
    return Chosen(
        None if persona == ALL else persona,
        None if number == ALL else int(number),
        KINDS[kind],
        not people_only,
    )
