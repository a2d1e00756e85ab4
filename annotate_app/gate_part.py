"""Why a round was or was not promoted: the gate's words, the bounds as they narrowed, the guards.

Reads what the round keeps as its decision, also of earlier versions, whose evidence was less. Knows
Streamlit; knows no SQL and decides nothing.
"""

from typing import Any

import streamlit as st

from annotate_app import findings, interval_charts, panels
from annotate_app.frames import pd
from annotate_app.words import many

MARKS = {"passed": "green", "failed": "red"}
"""The colour of a guard's verdict; gray for what was not computed."""


def blind_said(told: dict[str, Any]) -> str | None:
    """The win rate with the gate's bounds and its count; None where there is none."""
    if told.get("win_rate") is None or not told.get("course"):
        return None
    said = findings.estimate(told["win_rate"], told["ci_low"], told["ci_high"])
    return f"{said} of {told['judgments'] - told['both_bad']}"


def words(told: dict[str, Any]) -> None:
    """The decision as the gate told it, and plainly what no person judged."""
    if not told.get("words"):
        return
    marks = ""
    prescreen = told.get("prescreen") or {}
    if prescreen:
        marks += f" :violet-badge[:material/gavel: AUTOMATIC pre-screen: {prescreen['verdict']}]"
    if told.get("more") and told.get("outcome") == "more":
        marks += f" :blue-badge[:material/add: {many(int(told['more']), 'judgment')} asked for]"
    panels.quiet(panels.say(told["words"]))
    if marks:
        st.markdown(marks)


def why(told: dict[str, Any], key: str, colour: str, opened: bool) -> None:
    """The bounds over the judgments, and each guard, folded away where ``opened`` is false."""
    course, guards = told.get("course") or [], told.get("guards") or []
    if not course and not guards:
        return
    with st.expander("The evidence", expanded=opened):
        if course:
            frame = pd.DataFrame(course)
            shown = frame.assign(
                said=[findings.percent(value) for value in frame["value"]],
                between=[
                    findings.interval(low, high)
                    for low, high in zip(frame["low"], frame["high"], strict=True)
                ],
            )
            panels.figure(
                panels.drawn(
                    interval_charts.narrowing,
                    frame,
                    title=_finding(told),
                    ink=panels.ink(),
                    colour=colour,
                ),
                shown,
                key=f"gate-{key}",
                note=_note(told),
                columns={"n": "Judgments", "said": "Win rate", "between": "95 % bounds"},
            )
        if guards:
            st.markdown("\n".join(_told(guard) for guard in guards))


def _finding(told: dict[str, Any]) -> str:
    judgments = many(int(told["judgments"]) - int(told["both_bad"]), "judgment")
    if told["ci_low"] > 0.5:
        return f"The bounds rose above one half within {judgments}"
    if told["ci_high"] < 0.5:
        return f"The bounds fell below one half within {judgments}"
    return f"After {judgments} the bounds still hold one half"


def _note(told: dict[str, Any]) -> str:
    over = f"{many(int(told['prompts']), 'prompt')}, {many(int(told['annotators']), 'annotator')}"
    rule = told.get("rule") or {}
    return (
        f"Bounds that may be looked at after every judgment: {over}; "
        + ("everybody counts (SIMULATED loop)" if told["counted"] == "everybody" else "only people")
        + f". Decides from {rule.get('fewest_judgments')} judgments on; at most"
        f" {rule.get('most_judgments')} are asked for."
    )


def _told(guard: dict[str, Any]) -> str:
    colour = MARKS.get(str(guard["verdict"]), "gray")
    return (
        f"- :{colour}-badge[{panels.say(guard['verdict'])}] **{panels.say(guard['name'])}**:"
        f" {panels.say(guard['reason'])} :small[:gray[wanted: {panels.say(guard['bound'])}]]"
    )
