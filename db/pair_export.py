"""Judgments as chosen and rejected, in the formats that trainers read. Writes no file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.exporting import judgment_rows
from db.models import Assignment, BatchKind, SetAside, Verdict
from db.snapshots import HELDOUT, RELEASED
from db.writing import Columns

PROVENANCE = {
    "verdict": "text",
    "persona": "text",
    "adapter_chosen": "text",
    "adapter_rejected": "text",
    "strength": "integer",
    "chosen_shown": "text",
    "annotator": "text",
    "annotator_kind": "text",
    "batch": "text",
    "batch_kind": "text",
    "round": "integer",
    "judgment": "text",
    "created_at": "text",
}
PAIR_COLUMNS = {"prompt": "json", "chosen": "text", "rejected": "text", **PROVENANCE}


@dataclass
class LeftOut:
    """Judgments that became no pair, and why."""

    ties: int = 0
    both_bad: int = 0
    no_texts: int = 0
    blind: int = 0
    gold: int = 0
    heldout: int = 0
    aside: int = 0

    def __str__(self) -> str:
        """What a person reads after an export; empty when nothing was left out."""
        parts = {
            "ties": self.ties,
            "both bad": self.both_bad,
            "without texts": self.no_texts,
            "blind comparisons": self.blind,
            "answers to gold": self.gold,
            "on prompts of blind comparisons": self.heldout,
            "set aside": self.aside,
        }
        return ", ".join(f"{count} {name}" for name, count in parts.items() if count)


def pair_rows(
    session: Session,
    left_out: LeftOut,
    *,
    persona: str | None = None,
    people_only: bool = False,
    include_blind: bool = False,
) -> Iterator[dict[str, Any]]:
    """Decided standing judgments as chosen and rejected, one dict of ``PAIR_COLUMNS`` each.

    A tie or a both-bad never becomes a pair, nor does what no snapshot takes (``db.snapshots``).
    Each judgment is a row of its own, so that two people who disagree give two opposite rows.

    Args:
        session: The session.
        left_out: Counts what became no pair.
        persona: Only of this slug.
        people_only: Leave out simulated and automatic annotators.
        include_blind: Also comparisons that decide between two adapters, and their prompts.
    """
    aside = _set_aside(session)
    for row in judgment_rows(session, persona=persona, people_only=people_only):
        if row["batch_purpose"] == "gold":
            left_out.gold += 1
        elif row["batch_kind"] == BatchKind.BLIND and not include_blind:
            left_out.blind += 1
        elif row["prompt_split"] == HELDOUT and not include_blind:
            left_out.heldout += 1
        elif row["judgment"] in aside:
            left_out.aside += 1
        elif row["verdict"] == Verdict.TIE:
            left_out.ties += 1
        elif row["verdict"] == Verdict.BOTH_BAD:
            left_out.both_bad += 1
        elif not (row["text_a"].strip() and row["text_b"].strip() and row["messages"]):
            left_out.no_texts += 1
        else:
            yield _pair(row)


def _set_aside(session: Session) -> set[str]:
    """What judgments on pairs that are set aside are called in exports."""
    query = (
        select(Assignment.token)
        .join(SetAside, SetAside.comparison_id == Assignment.comparison_id)
        .where(SetAside.decision.is_distinct_from(RELEASED))
    )
    return set(session.scalars(query))


def trl_rows(pairs: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """TRL's preference format with an explicit prompt, provenance as further columns."""
    for pair in pairs:
        yield {
            "prompt": pair["prompt"],
            "chosen": [_assistant(pair["chosen"])],
            "rejected": [_assistant(pair["rejected"])],
            **{name: pair[name] for name in PROVENANCE},
        }


def trl_unpaired_rows(pairs: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """TRL's unpaired preference format: each pair gives a liked and a disliked completion."""
    for pair in pairs:
        for side, label in (("chosen", True), ("rejected", False)):
            yield {
                "prompt": pair["prompt"],
                "completion": [_assistant(pair[side])],
                "label": label,
                **{name: pair[name] for name in PROVENANCE},
            }


def cookbook_rows(pairs: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """tinker-cookbook's labelled comparisons, A and B as the annotator saw them.

    Where nobody knows what was seen, A is the comparison's a, so that the label tells nothing else.
    """
    for pair in pairs:
        shown = pair["chosen_shown"]
        chosen_first = pair["verdict"] == Verdict.A if shown is None else shown == "first"
        first, second = pair["chosen"], pair["rejected"]
        if not chosen_first:
            first, second = second, first
        yield {
            "comparison": {
                "prompt_conversation": pair["prompt"],
                "completion_A": [_assistant(first)],
                "completion_B": [_assistant(second)],
            },
            "label": "A" if chosen_first else "B",
        }


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    chosen, rejected = ("a", "b") if row["verdict"] == Verdict.A else ("b", "a")
    shown_first = {1: "a", -1: "b"}.get(row["placement"])
    return {
        "prompt": row["messages"],
        "chosen": row[f"text_{chosen}"],
        "rejected": row[f"text_{rejected}"],
        "verdict": row["verdict"],
        "persona": row["persona"],
        "adapter_chosen": row[f"item_{chosen}"],
        "adapter_rejected": row[f"item_{rejected}"],
        "strength": row["strength"],
        "chosen_shown": None
        if shown_first is None
        else ("first" if shown_first == chosen else "second"),
        "annotator": row["annotator"],
        "annotator_kind": row["annotator_kind"],
        "batch": row["batch"],
        "batch_kind": row["batch_kind"],
        "round": row["round"],
        "judgment": row["judgment"],
        "created_at": row["created_at"],
    }


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SHAPES: dict[
    str, tuple[Callable[[Iterator[dict[str, Any]]], Iterator[dict[str, Any]]], Columns]
] = {
    "trl": (
        trl_rows,
        {"prompt": "messages", "chosen": "messages", "rejected": "messages", **PROVENANCE},
    ),
    "trl-unpaired": (
        trl_unpaired_rows,
        {"prompt": "messages", "completion": "messages", "label": "truth", **PROVENANCE},
    ),
    "cookbook": (cookbook_rows, {"comparison": "comparison", "label": "text"}),
}
"""Formats of trainers: what makes their rows of ``pair_rows``, and what their columns hold."""
