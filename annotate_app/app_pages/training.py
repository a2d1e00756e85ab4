"""Training: which persona is ready, what runs now and how it goes, what came of earlier jobs."""

from datetime import timedelta
from typing import Any

import streamlit as st

from annotate_app import (
    actions,
    charts,
    curves,
    findings,
    panels,
    queries,
    readiness_part,
    work_queries,
)
from annotate_app.session import acting, require
from annotate_app.words import ago, many
from db.clock import utcnow
from db.errors import PersonaLoopError

STATE = {
    "queued": ("gray", "waits for a worker"),
    "running": ("blue", "running"),
    "done": ("green", "done"),
    "failed": ("red", "failed"),
    "cancelled": ("gray", "cancelled"),
}
WORK = {"retrain": "Retrain", "sft": "Supervised training", "generate": "Candidates for"}
NOW = {
    "retrain": "{} is being retrained",
    "sft": "{} is being trained by example",
    "generate": "New pairs for {} are being written",
}
QUANTITIES = {
    "loss": ("Loss", False, None),
    "accuracy": ("Accuracy", True, 0.5),
    "margin": ("Reward margin", False, 0.0),
}
MORE = {
    "reward": ("Reward", False, 0.0),
    "nll": ("Nats a token", False, None),
    "kl": ("Nats a response", False, 0.0),
}
TOLD = {
    "reward": "Chosen reward",
    "nll": "NLL of what was chosen",
    "kl": "Distance from the reference",
}
"""What the finding of a figure calls its quantity, where the axis says more or less."""
HELD_OUT = {"nll": "Held-out NLL"}

require("admin")
WANTED = work_queries.minimum_pairs()
names = work_queries.personas()


def name_of(persona: str | None) -> str:
    """A persona's display name."""
    return names.get(persona or "", persona or "everything")


def readiness_of(row):
    """Whether a persona's judgments are good enough, simulated ones with them where chosen."""
    slug = row["persona"]
    alone = int(row["new_by_people"]) == 0 and int(row["simulated"]) > 0
    simulated = bool(st.session_state.get(f"simulated-{slug}", alone))
    return readiness_part.readiness_of(slug, include_simulated=simulated)


def headline(jobs, usable, waits: dict[str, str]) -> str:
    """The finding: what runs, who is ready, or whose new adapter is being compared."""
    running = [job for job in jobs if job.state == "running"]
    if running:
        job = running[0]
        said = NOW[job.kind].format(name_of(job.persona))
        return f"{said}: {findings.percent(job.progress)} done"
    if any(job.state == "queued" for job in jobs):
        return "A job waits for a worker"
    free = ~usable["persona"].isin(list(waits))
    ready = usable[free & (usable["new"] > 0)].sort_values("new", ascending=False)
    enough = ready[ready["new"] >= WANTED]
    if waits and not len(enough):
        return f"{name_of(next(iter(waits)))} has a new adapter that is being compared blind"
    for _, row in enough.iterrows():
        if readiness_of(row).ready:
            new = many(int(row["new"]), "new decided judgment")
            return f"{name_of(row['persona'])} can be retrained: {new}"
    if len(enough):
        row = enough.iloc[0]
        new = many(int(row["new"]), "new decided judgment")
        return f"{name_of(row['persona'])} has {new}, not good enough to learn from yet"
    if len(ready):
        row = ready.iloc[0]
        new = many(int(row["new"]), "new decided judgment")
        return f"{name_of(row['persona'])} has {new}; a retraining wants {WANTED}"
    if (usable["decided"] > 0).any():
        return "Everything judged so far is trained on: judge more pairs for the next round"
    return "Nothing to train on yet: judge some pairs first"


def time_to_go(job) -> str:
    """How long a running job still takes, from its pace so far."""
    if job.started_at is None or job.progress < 0.03:
        return "time to go not known yet"
    gone = (utcnow() - job.started_at).total_seconds()
    left = gone * (1 - job.progress) / job.progress
    if left < 45:
        return "less than a minute to go"
    return f"about {many(max(1, round(left / 60)), 'minute')} to go"


def say_done(words: str) -> None:
    """Tell what happened, and show it after the rerun."""
    st.session_state["training-said"] = words


def retrain(persona: str, force: str | None = None) -> None:
    """The button: write the job's row."""
    simulated = bool(st.session_state.get(f"simulated-{persona}", False))
    try:
        number = actions.retrain(
            persona, actor=acting("admin"), include_simulated=simulated, force=force
        )
    except PersonaLoopError as error:
        say_done(f"Not queued: {error}")
        return
    say_done(f"Job {number} is queued: {name_of(persona)} will be retrained.")


def make_pairs(persona: str) -> None:
    """The button for new pairs to judge."""
    try:
        number = actions.make_pairs(persona, actor=acting("admin"))
    except PersonaLoopError as error:
        say_done(f"Not queued: {error}")
        return
    say_done(f"Job {number} is queued: new pairs for {name_of(persona)} to judge.")


def cancel(job_id: int) -> None:
    """The other button."""
    try:
        actions.cancel_job(job_id, actor=acting("admin"))
        say_done(f"Job {job_id} is cancelled; nothing of it will be used.")
    except PersonaLoopError as error:
        say_done(str(error))


def curve_figures(job) -> None:
    """The curves of a job's run, and its alarm where it rang."""
    steps, said = curves.read_alarm(job.folder)
    if steps:
        where = f"At step {steps[0]}" if len(steps) == 1 else f"At steps {steps[0]} to {steps[-1]}"
        st.warning(f"{where} {panels.say(said)}.", icon=":material/warning:")
    table = curves.read_curves(job.folder)
    if table.empty:
        panels.quiet("No curve yet: the first step has not been written.")
        return
    if table["step"].nunique() < 2:
        panels.quiet("The first step is done; its curves begin with the second.")
        return
    row_of_figures(job, table, QUANTITIES)
    if table["quantity"].isin(list(MORE)).any():
        with st.expander("Rewards, likelihood and distance", expanded=bool(steps)):
            row_of_figures(job, table, MORE)


def row_of_figures(job, table, quantities) -> None:
    """One figure a quantity that the run has, side by side."""
    shown = [quantity for quantity in quantities if (table["quantity"] == quantity).any()]
    for column, quantity in zip(st.columns(max(1, len(shown)), gap="medium"), shown, strict=False):
        label, shares, reference = quantities[quantity]
        part = table[table["quantity"] == quantity]
        name = TOLD.get(quantity) or label
        held = part[part["series"] == curves.HELD_OUT_SERIES]
        first = part[part["series"].isin([curves.TRAINING, "chosen", "from the reference"])]
        told, said = first, name
        if len(held) > 1:
            told, said = held, HELD_OUT.get(quantity, f"Held-out {label.lower()}")
        with column:
            panels.figure(
                panels.drawn(
                    charts.curve,
                    part,
                    title=findings.course(said, told["value"], shares, int(told["step"].max())),
                    value=label,
                    shares=shares,
                    reference=reference,
                    ink=panels.ink(),
                ),
                part,
                key=f"curve-{job.id}-{quantity}",
                columns={"series": "Series", "step": "Step", "value": label},
            )


def live_job(job) -> None:
    """One queued or running job."""
    with st.container(border=True):
        colour, word = STATE[job.state]
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            st.markdown(
                f"**{WORK.get(job.kind, job.kind)} {panels.say(name_of(job.persona))}**"
                f" :{colour}-badge[{word}] :small[job {job.id}, asked by"
                f" {panels.say(job.requested_by or 'the command line')} {ago(job.created_at)}]"
            )
            st.button(
                "Cancel",
                key=f"cancel-{job.id}",
                on_click=cancel,
                args=(job.id,),
                icon=":material/close:",
            )
        if job.state == "queued":
            panels.quiet("It starts as soon as a worker is free. `personaloop work` starts one.")
            return
        stage = panels.say(job.stage or "starting")
        st.progress(min(1.0, job.progress), text=f"{stage} · {time_to_go(job)}")
        if job.lease_expires_at is not None and job.lease_expires_at < utcnow() - timedelta(0):
            st.warning(
                "Its worker has not been heard of for a while. Another worker takes over where it"
                " stopped; `personaloop work` starts one."
            )
        if job.attempts > 1:
            panels.quiet(f"Attempt {job.attempts}: it went on where the last worker stopped.")
        curve_figures(job)


def blind_under_way() -> dict[str, str]:
    """Persona to the sentence that says why its retraining has to wait for a decision."""
    batches = {batch.id: batch for batch in work_queries.batches()}
    waits: dict[str, str] = {}
    for view in work_queries.rounds():
        if view.state == "blind" and view.blind_batch is not None:
            batch = batches[view.blind_batch]
            waits[view.persona] = (
                f"Round {view.number} is being compared blind: {batch.judged} of {batch.wanted}"
                " judgments are in. The next retraining comes after that decision."
            )
    return waits


def readiness(usable, jobs, waits: dict[str, str]) -> None:
    """Who has judgments to learn from, each with its button."""
    st.subheader("Ready to learn", anchor=False)
    busy = {job.persona for job in jobs if job.live and job.kind == "retrain"}
    making = {job.persona for job in jobs if job.live and job.kind == "generate"}
    asked = {
        view.persona
        for view in work_queries.rounds()
        if view.state != "labeling" or view.label_batch is not None
    }
    slugs = list(names)
    if not slugs:
        panels.empty("No persona yet", "Set up the sample personas.", "personaloop init --sample")
        return
    for start in range(0, len(slugs), 2):
        for column, slug in zip(
            st.columns(2, gap="medium"), slugs[start : start + 2], strict=False
        ):
            row = usable[usable["persona"] == slug]
            with column, st.container(border=True):
                buttons = ready_card(
                    slug, row.iloc[0] if len(row) else None, slug in busy, waits.get(slug, "")
                )
                if slug not in asked:
                    buttons.button(
                        "Make pairs to judge",
                        key=f"pairs-{slug}",
                        disabled=slug in making,
                        on_click=make_pairs,
                        args=(slug,),
                        icon=":material/add_comment:",
                    )
                    if slug in making:
                        panels.quiet("New pairs are being written.")


def ready_card(slug: str, row, busy: bool, waits: str) -> Any:
    """One persona's pairs and its button; gives the row of buttons."""
    panels.persona_heading(name_of(slug), slug)
    found = None
    if row is None:
        st.markdown(":small[No judgment to learn from yet.]")
        panels.link("label", "Judge some pairs", ":material/thumbs_up_down:")
        new = 0
    else:
        new = int(row["new"])
        parts = [
            f"**{new:,}** new decided",
            f"{int(row['decided']):,} in all",
            many(int(row["ties"]), "tie"),
            f"{int(row['both_bad']):,} both bad",
        ]
        mark = (
            f" :orange-badge[SIMULATED {int(row['simulated']):,}]" if int(row["simulated"]) else ""
        )
        st.markdown(f":small[{' · '.join(parts)}]{mark}")
        if int(row["simulated"]):
            st.checkbox(
                "Learn from simulated judgments too",
                key=f"simulated-{slug}",
                disabled=busy,
                value=int(row["new_by_people"]) == 0,
            )
        if int(row["decided"]):
            found = readiness_of(row)
            readiness_part.shown(found)
    unready = found is not None and not found.ready
    buttons = st.container(horizontal=True)
    buttons.button(
        f"Retrain {name_of(slug)}",
        key=f"retrain-{slug}",
        type="primary" if new >= WANTED and not (busy or waits or unready) else "secondary",
        disabled=busy or bool(waits) or row is None or not int(row["decided"]) or unready,
        on_click=retrain,
        args=(slug,),
        icon=":material/model_training:",
    )
    if unready and not busy and not waits:
        with buttons:
            readiness_part.all_the_same(slug, name_of(slug), retrain)
    if busy:
        panels.quiet("A retraining is under way.")
    elif waits:
        panels.quiet(waits)
    elif row is not None and int(row["decided"]) and not new:
        panels.quiet("Nothing new since the last retraining. Judge some more pairs first.")
    elif 0 < new < WANTED:
        panels.quiet(f"A retraining wants {WANTED} decided judgments: judge {WANTED - new} more.")
    return buttons


def history(jobs) -> None:
    """What came of earlier jobs, with the reason where one was refused or failed."""
    ended = [job for job in jobs if not job.live]
    st.subheader("Earlier jobs", anchor=False)
    if not ended:
        panels.quiet("None yet.")
        return
    lines = []
    for job in ended[:12]:
        colour, word = STATE[job.state]
        length = ""
        if job.started_at and job.finished_at:
            seconds = (job.finished_at - job.started_at).total_seconds()
            fast = seconds < 90
            length = many(seconds, "second") if fast else many(seconds / 60, "minute")
        told = [f"job {job.id}", ago(job.finished_at or job.created_at)]
        told += [f"took {length}"] if length else []
        told += [f"asked by {panels.say(job.requested_by)}"] if job.requested_by else []
        lines.append(
            f"- {WORK.get(job.kind, job.kind)} {panels.say(name_of(job.persona))}"
            f" :{colour}-badge[{word}] :small[:gray[{', '.join(told)}]]"
            + (f"  \n  :small[{panels.say(job.message)}]" if job.message else "")
        )
    st.markdown("\n".join(lines))
    runs = {job.id: job for job in ended if job.folder}
    if runs:
        chosen = st.selectbox(
            "Curves of an earlier job",
            list(runs),
            index=None,
            placeholder="Choose a job",
            format_func=lambda number: (
                f"Job {number}: {name_of(runs[number].persona)},"
                f" {ago(runs[number].finished_at or runs[number].created_at)}"
            ),
            key="curves-of",
            width=320,
        )
        if chosen is not None:
            curve_figures(runs[chosen])


started_live = any(job.live for job in work_queries.jobs())


@st.fragment(run_every=3 if started_live else 15)
def body() -> None:
    """Everything that moves, for as long as its reader may see it."""
    require("admin")
    jobs = work_queries.jobs()
    if any(job.live for job in jobs) != started_live:
        st.rerun()
    usable = queries.usable_pairs()
    waits = blind_under_way()
    panels.opening("Training", headline(jobs, usable, waits))
    panels.data_line(
        int(usable["judged"].sum()),
        queries.totals().at,
        simulated=int(usable["simulated"].sum()),
        extra="blind comparisons left out",
    )
    said = st.session_state.pop("training-said", "")
    if said:
        st.info(panels.say(said), icon=":material/info:")
    live = [job for job in jobs if job.live]
    for job in live:
        live_job(job)
    readiness(usable, jobs, waits)
    history(jobs)


with panels.live():
    body()
