"""The training room's commands, and those that only queue or run work.

Parses options and prints; what is done is in the modules that are called. torch and tinker are
imported only inside the commands that need them.
"""

import sys
from pathlib import Path
from typing import Any

import click

from db.command_options import actor, database_option
from training.adapter_commands import adapters
from training.loop_command import loop
from training.simulation_options import annotators_option, seed_option
from training.train_commands import chat, dpo, evaluate, sft

__all__ = [
    "adapters",
    "chat",
    "dpo",
    "evaluate",
    "generate",
    "loop",
    "retrain",
    "sft",
    "simulate",
    "work",
]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--persona", "personas", multiple=True, help="Slug; repeat for several. [all]")
@click.option("--adapter", help="Adapter id.  [default: the one that answers now]")
@click.option(
    "--prompts",
    "comparisons",
    type=click.IntRange(1, 100_000),
    help="Comparisons to make a persona, each of another prompt while there are enough."
    "  [default: configs/candidates.yaml, 72]",
)
@click.option("--first", is_flag=True, help="Only for personas that have no label batch yet.")
@click.option("--config", type=FILE, help="How to sample.  [default: configs/candidates.yaml]")
@database_option
def generate(
    personas: tuple[str, ...],
    adapter: str | None,
    comparisons: int | None,
    first: bool,
    config: Path | None,
    database_url: str | None,
) -> None:
    """Sample candidates and open a batch of comparisons to judge, for each persona.

    Of several completions a prompt, the two that differ most are asked; responses that are nearly
    the same are not. Asking again finds what is there already.
    """
    from db import audit
    from db.session import sessions, upgrade
    from training.batches import BatchMaker, batch_name
    from training.candidates import CandidateConfig
    from training.configs import CONFIGS, load_config
    from training.jobs import make_label_batch
    from training.rounds import adapter_of
    from training.service import open_service

    settings = load_config(CandidateConfig, config or CONFIGS / "candidates.yaml")
    wanted = comparisons or settings.label_comparisons
    upgrade(database_url)
    make = sessions(database_url)
    chosen = _personas(make, personas, first=first)
    if not chosen:
        click.echo("every persona has comparisons already")
        return
    service = open_service()
    for slug in chosen:
        with _bar(slug) as progress:
            if adapter is None:
                said = make_label_batch(make, service, slug, settings, wanted, progress)
            else:
                with make.begin() as session:
                    adapter_of(session, slug, adapter)
                maker = BatchMaker(make, service, slug, settings, progress)
                made = maker.label_batch(batch_name(f"{slug} {adapter} label"), adapter, wanted)
                said = f"{made.comparisons} comparisons of {adapter} to judge"
        audit.record_now(database_url, actor(), "generate", slug)
        click.echo(f"{slug}: {said}")


@click.command()
@click.option("--persona", required=True, help="Slug.")
@click.option(
    "--include-simulated", is_flag=True, help="Also train on judgments that no person made."
)
@click.option("--now", is_flag=True, help="Run it here instead of leaving it to a worker.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only print pairs, prompts, tokens, steps, cost and what would refuse it.",
)
@click.option(
    "--force",
    metavar="WHY",
    help="Train although the judgments are not ready (configs/job.yaml); the reason is recorded.",
)
@click.option("--config", type=FILE, help="The run.  [default: configs/dpo.yaml]")
@click.option(
    "--without-annotator",
    "without",
    multiple=True,
    metavar="NAME",
    help="Train an adapter again as if this annotator (name or id; repeat for several) had not been"
    " there, and say what differs. It never answers.",
)
@click.option(
    "--adapter",
    help="With --without-annotator: which adapter.  [default: the newest trained on judgments]",
)
@database_option
def retrain(
    persona: str,
    include_simulated: bool,
    now: bool,
    dry_run: bool,
    force: str | None,
    config: Path | None,
    without: tuple[str, ...],
    adapter: str | None,
    database_url: str | None,
) -> None:
    """Ask for a retraining: judgments to pairs, DPO, adapter, blind comparison, promotion.

    A worker (`personaloop work`, part of `personaloop serve`) does it; --now does it here. It is
    refused where the judgments are clearly not good enough to train on (agreement, gold, leaning
    to one side, too few, not connected); what cannot be measured yet refuses nothing.
    """
    from dataclasses import asdict

    from db import audit, jobs
    from db.errors import Refused
    from db.models import JobKind
    from db.session import readers, sessions, upgrade
    from training.configs import CONFIGS, load_config
    from training.dpo_config import DPOConfig
    from training.job_config import JobConfig
    from training.readiness import refuse_unready

    if force is not None and not force.strip():
        raise Refused("say with --force why, so that others can follow the decision")
    upgrade(database_url)
    make = sessions(database_url)
    _personas(make, (persona,))
    if adapter and not without:
        raise click.UsageError("--adapter goes with --without-annotator")
    if without and (config is not None or include_simulated):
        raise click.UsageError(
            "--without-annotator keeps the judgments and the configuration of the adapter's run:"
            " leave --config and --include-simulated out"
        )
    settings = load_config(DPOConfig, config or CONFIGS / "dpo.yaml")
    if dry_run and without:
        from training.leaving_out import describe

        click.echo(describe(make, persona, adapter, without))
        return
    if dry_run:
        from training.planning import describe_run

        click.echo(describe_run(make, persona, settings, include_simulated))
        return
    params: dict[str, Any] = {"include_simulated": True} if include_simulated else {}
    if config is not None:
        params["config"] = asdict(settings)
    told: dict[str, Any] = {}
    if without:
        from training.leaving_out import params_of

        params = told = params_of(make, persona, adapter, without)
    elif force is not None:
        told = {"force": force.strip()}
        params |= told
    else:
        limits = load_config(JobConfig, CONFIGS / "job.yaml").limits()
        with readers(database_url)() as session:
            refuse_unready(session, persona, limits, include_simulated=include_simulated)
    with make.begin() as session:
        job = jobs.enqueue(
            session, JobKind.RETRAIN, persona=persona, params=params, requested_by=actor()
        )
        audit.record(session, actor(), "retrain", persona, job=job.id, now=now, **told)
    if not now:
        click.echo(f"job {job.id} is queued; `personaloop work` runs it")
        return
    _work(make, once=True)
    with make.begin() as session:
        ended = jobs.job(session, job.id)
    if ended.state in jobs.LIVE:
        raise Refused(
            f"job {job.id} is {ended.state.value}: another worker has it; the app's training page "
            "shows how far it is"
        )
    if ended.state != "done":
        raise Refused(f"job {job.id} {ended.state.value}: {ended.message}")
    click.echo(ended.message)


@click.command()
@click.option("--once", is_flag=True, help="End when there is nothing left to do.")
@click.option(
    "--poll",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks at an empty queue.",
)
@click.option(
    "--judge",
    metavar="FILE.py:FUNCTION",
    help="Let this function look at blind pairs before people do; it can stop a challenger, never "
    "promote one.  [default: configs/gate.yaml, none]",
)
@database_option
def work(once: bool, poll: float, judge: str | None, database_url: str | None) -> None:
    """Run queued jobs and look at blind comparisons, until stopped.

    Starts and supervises the local engine when TINKER_API_KEY is not set. Killed at any moment,
    the next worker goes on where it was.
    """
    from db.session import sessions, upgrade

    upgrade(database_url)
    _work(sessions(database_url), once=once, poll=poll, judge=judge)


@click.command()
@click.option("--persona", "personas", multiple=True, help="Slug; repeat for several. [all]")
@annotators_option
@click.option("--most", type=click.IntRange(1), help="Judgments after which to stop.  [all]")
@click.option("--judge", metavar="FILE.py:FUNCTION", help="In place of the built-in preference.")
@seed_option
@database_option
def simulate(
    personas: tuple[str, ...],
    annotators: int,
    most: int | None,
    judge: str | None,
    seed: int,
    database_url: str | None,
) -> None:
    """Let SIMULATED annotators judge what is open, through the same steps as people.

    Their judgments are marked as simulated for good and train nothing unless a retraining is asked
    to include them.
    """
    from db import audit, batches
    from db.models import BatchState
    from db.session import require_current, sessions
    from training.evaluation.judges import annotators as simulated
    from training.evaluation.judges import load_judge
    from training.simulation import judge_all

    require_current(database_url)
    make = sessions(database_url)
    function = load_judge(judge) if judge else None
    name = f"simulated-{judge.rpartition(':')[2]}" if judge else "simulated"
    panel = simulated(annotators, seed=seed, judge=function, name=name[:100])
    chosen = _personas(make, personas)
    told = {"annotators": annotators, "most": most, "judge": judge or "built-in", "seed": seed}
    with make.begin() as session:
        audit.record(session, actor(), "simulate", ", ".join(chosen), **told)
        asked = [
            (batch.id, batch.name)
            for batch in batches.batches(session)
            if batch.state is BatchState.OPEN and batch.persona_slug in chosen
        ]
    done = 0
    for batch_id, batch_name in asked:
        left = None if most is None else most - done
        if left == 0:
            break
        count_here = judge_all(make, panel, batch_id=batch_id, most=left)
        done += count_here
        if count_here:
            click.echo(f"{batch_name}: {count_here} SIMULATED judgments")
    click.echo(f"{done} judgments stored, all marked as simulated")


def _work(make: Any, *, once: bool, poll: float = 2.0, judge: str | None = None) -> None:
    """A worker with its supervised engine."""
    from dataclasses import replace

    from training.deciding import gate_config
    from training.engine import EngineSettings, EngineSupervisor
    from training.evaluation.judges import load_judge
    from training.jobs import Worker
    from training.service import open_service

    if judge is not None:
        load_judge(judge)
    settings = EngineSettings()
    supervisor = EngineSupervisor(settings)
    worker = Worker(
        make,
        connect=lambda: open_service(settings),
        gate=None if judge is None else replace(gate_config(), judge=judge),
    )
    worker.stop_on_signals()
    supervisor.start(wait=False)
    try:
        worker.work(once=once, poll_seconds=poll)
    finally:
        supervisor.stop()


def _personas(make: Any, wanted: tuple[str, ...], *, first: bool = False) -> list[str]:
    """Slugs that are in the ledger and answered by an adapter; wrong ones are refused by name."""
    from sqlalchemy import select

    from db.errors import NotFound
    from db.models import AliasChange, Batch, BatchKind
    from db.personas import all_personas

    with make.begin() as session:
        known = [persona.slug for persona in all_personas(session)]
        answered = set(session.scalars(select(AliasChange.persona_slug).distinct()))
        labeled = set(
            session.scalars(select(Batch.persona_slug).where(Batch.kind == BatchKind.LABEL))
        )
    for slug in wanted:
        if slug not in known:
            there = ", ".join(known) or "none; `personaloop init --sample` loads the shipped ones"
            raise NotFound(f"there is no persona {slug!r}; the ledger has {there}")
    chosen = [slug for slug in known if slug in (wanted or answered)]
    if not chosen:
        raise NotFound(
            "no persona has an adapter yet; `personaloop init --sample` registers the shipped ones"
        )
    return [slug for slug in chosen if not (first and slug in labeled)]


class _bar:
    """A progress bar on stderr: enter for a function of stage and share."""

    def __init__(self, label: str):
        self._bar = click.progressbar(length=1000, label=label, file=sys.stderr)
        self._at = 0

    def __enter__(self) -> Any:
        self._bar.__enter__()
        return self._told

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def _told(self, stage: str, share: float) -> None:
        at = int(1000 * min(max(share, 0.0), 1.0))
        self._bar.label = stage
        self._bar.update(max(0, at - self._at))
        self._at = max(self._at, at)
