"""Preference files as trainers read them, as rows that ``db.import_rows`` reads.

TRL's preference format (``prompt``, ``chosen``, ``rejected``: texts or lists of turns; without a
prompt the turns that both begin with are one), this project's own pairs in the same shape with
where they come from, and tinker-cookbook's labelled comparisons (``comparison``, ``label``). A pair
of chosen and rejected is a judgment that the first is better. Touches no database.
"""

from collections.abc import Mapping
from typing import Any, cast

from db.import_fields import Rows
from db.import_options import Told
from db.lines import Line

OWN = ("verdict", "persona", "annotator", "annotator_kind", "batch", "batch_kind", "round",
       "judgment", "created_at", "strength")  # fmt: skip
"""What this project's own pairs say beside their texts, under the names of judgments."""
ANYBODYS = ("id", "annotator")
LABELS = {"a": "a", "b": "b", "tie": "tie"}
Turn = dict[str, Any]


def wrote(row: Mapping[str, Any]) -> bool:
    """Whether a row is a pair of chosen and rejected, half of one, or a labelled comparison."""
    known = ({"chosen", "rejected"}, {"comparison", "label"}, {"completion", "label"})
    return any(names <= set(row) for names in known)


def judgments(lines: list[Line], told: Told) -> Rows:
    """One row a pair.

    Raises:
        ImportRefused: A row is malformed; the message names it and the field.
    """
    return _rows(lines, told, judged=True)


def pairs(lines: list[Line], told: Told) -> Rows:
    """One row a pair, whatever was chosen.

    Raises:
        ImportRefused: A row is malformed.
    """
    return _rows(lines, told, judged=False)


def _rows(lines: list[Line], told: Told, *, judged: bool) -> Rows:
    rows = Rows()
    for line in lines:
        with told.problems.caught():
            rows.lines.append(_row(line, told, judged=judged))
    return rows


def prompts(lines: list[Line], told: Told) -> Rows:
    """One row a pair with its prompt.

    Raises:
        ImportRefused: A row is malformed.
    """
    rows = Rows()
    for line in lines:
        with told.problems.caught():
            row = _row(line, told, judged=False).row
            rows.lines.append(
                Line(line.file, line.number, {"messages": row["messages"]}, line.kind)
            )
    return rows


def _row(line: Line, told: Told, *, judged: bool) -> Line:
    if "completion" in line.row and "chosen" not in line.row:
        raise line.refuse("completion", "is half a pair; a file with chosen and rejected is taken")
    made = _comparison(line) if "comparison" in line.row else _chosen(line)
    if not judged:
        for name in ("batch", "batch_kind", "round", "judgment"):
            made.pop(name, None)
    for side in "ab":
        made[f"item_{side}"] = made.get(f"item_{side}") or f"{told.batch}: {side.upper()}"
    return Line(line.file, line.number, made, line.kind)


def _chosen(line: Line) -> dict[str, Any]:
    """A pair of chosen and rejected: a is the chosen one unless the row itself says b won."""
    chosen, rejected = _turns(line, "chosen"), _turns(line, "rejected")
    told = line.row.get("prompt")
    if told is None or told == "":
        asked, chosen, rejected = _apart(line, chosen, rejected)
    else:
        asked = _turns(line, "prompt", role="user")
    texts = {"a": _text(line, "chosen", chosen), "b": _text(line, "rejected", rejected)}
    items = {"a": line.row.get("adapter_chosen"), "b": line.row.get("adapter_rejected")}
    taken = OWN if "chosen_shown" in line.row else ANYBODYS
    made = {name: line.row[name] for name in taken if line.row.get(name) is not None}
    shown = {"first": 1, "second": -1}.get(str(line.row.get("chosen_shown")), 0)
    swapped = str(made.get("verdict", "a")) == "b"
    for side in "ab":
        from_ = ("b" if side == "a" else "a") if swapped else side
        made[f"text_{side}"], made[f"item_{side}"] = texts[from_], items[from_]
    made["verdict"] = "b" if swapped else "a"
    made["placement"] = -shown if swapped else shown
    return made | {"messages": asked}


def _comparison(line: Line) -> dict[str, Any]:
    """tinker-cookbook's labelled comparison: A and B as they were shown."""
    inside = line.json("comparison")
    if not isinstance(inside, dict):
        raise line.refuse("comparison", "must be an object with prompt_conversation and two sides")
    held = line.inside("comparison", cast("dict[str, Any]", inside))
    label = line.text("label")
    if label.lower() not in LABELS:
        raise line.refuse("label", f"{label!r} is not A, B or Tie")
    asked = _turns(held, "prompt_conversation", role="user")
    sides = {s: _text(held, f"completion_{s}", _turns(held, f"completion_{s}")) for s in "AB"}
    return {
        "messages": asked,
        "text_a": sides["A"],
        "text_b": sides["B"],
        "verdict": LABELS[label.lower()],
        "placement": 1,
    }


def _turns(line: Line, name: str, role: str = "assistant") -> list[Turn]:
    """A field as turns; plain text is one turn."""
    value = line.row.get(name)
    if isinstance(value, str) and not value.lstrip().startswith("[{"):
        return [{"role": role, "content": line.text(name)}]
    value = line.json(name)
    members = cast("list[Any]", value) if isinstance(value, list) else []
    turns = [cast("Turn", each) for each in members if isinstance(each, dict)]
    turns = [turn for turn in turns if {"role", "content"} <= set(turn)]
    if not turns or len(turns) < len(members):
        raise line.refuse(name, "must be text, or a list of turns with role and content")
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def _apart(line: Line, chosen: list[Turn], rejected: list[Turn]) -> tuple[Any, Any, Any]:
    """The turns that both conversations begin with, and what is left of each."""
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same] == rejected[same]:
        same += 1
    if not same:
        raise line.refuse("prompt", "is missing, and chosen and rejected begin with no same turn")
    return chosen[:same], chosen[same:], rejected[same:]


def _text(line: Line, name: str, turns: list[Turn]) -> str:
    """The one response that the turns are."""
    if (
        len(turns) != 1
        or turns[0]["role"] != "assistant"
        or not isinstance(turns[0]["content"], str)
    ):
        raise line.refuse(name, "must be one response of the assistant")
    return turns[0]["content"]
