"""``personaloop loop``: where a loop keeps its things, and how it is started again.

Knows folders, the engine's supervision and options. What a round is, training/loop.py says.
"""

import os
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from db.command_options import actor, database_option
from db.settings import outputs_dir
from training.errors import ConfigRefused
from training.simulation_options import annotators_option, seed_option

if TYPE_CHECKING:
    from training.evaluation.judges import SimulatedAnnotator
    from training.loop import LoopPlan

DEFAULT_PERSONAS = ("playful_sidekick", "technical_advisor")
ON_LEDGER = "on-"
"""What the folders of loops on a given ledger begin with."""


@click.command()
@click.option(
    "--judge",
    metavar="FILE.py:FUNCTION",
    help="A preference in place of the built-in one: function(messages, persona, response_a, "
    'response_b) -> "a", "b", "tie" or "both_bad", in shown order. Its verdicts are used as they '
    "are, stored by simulated annotators.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Of each persona."
)
@click.option(
    "--judgments",
    type=click.IntRange(1, 5000),
    default=200,
    show_default=True,
    help="Label judgments a round and persona.",
)
@click.option(
    "--blind",
    type=click.IntRange(10, 1000),
    default=300,
    show_default=True,
    help="Blind comparisons on held-out prompts at the end of a round, at most.",
)
@annotators_option
@click.option(
    "--persona",
    "personas",
    multiple=True,
    help=f"Slug; repeat for several.  [default: {', '.join(DEFAULT_PERSONAS)}]",
)
@seed_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the report goes.  [default: outputs/loop/report.json]",
)
@click.option(
    "--dpo-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The preference runs.  [default: configs/dpo.yaml]",
)
@click.option("--fresh", is_flag=True, help="Begin anew although a killed loop could go on.")
@database_option
def loop(
    judge: str | None,
    rounds: int,
    judgments: int,
    blind: int,
    annotators: int,
    personas: tuple[str, ...],
    seed: int,
    output: Path | None,
    dpo_config: Path | None,
    fresh: bool,
    database_url: str | None,
) -> None:
    """Play the whole loop unattended, with SIMULATED annotators, and print the win rates.

    Without --database-url it works in a ledger of its own under outputs/loop/. Killed, the same
    command goes on where it was; once it has finished, the next one begins anew. Takes some minutes
    on two cores.
    """
    from training.candidates import CandidateConfig
    from training.configs import CONFIGS, load_config
    from training.dpo_config import DPOConfig
    from training.evaluation.judges import annotators as simulated
    from training.evaluation.judges import load_judge
    from training.loop import LoopPlan
    from training.personas import PersonaError, load_personas

    known = load_personas()
    chosen = personas or DEFAULT_PERSONAS
    for slug in chosen:
        if slug not in known:
            raise PersonaError(f"no persona {slug!r}; there are {', '.join(known)}")
    function = load_judge(judge) if judge else None
    plan = LoopPlan(
        personas=tuple(dict.fromkeys(chosen)),
        rounds=rounds,
        judgments=judgments,
        blind=blind,
        annotators=annotators,
        judge=judge or "",
        seed=seed,
        dpo=load_config(DPOConfig, dpo_config or CONFIGS / "dpo.yaml", {"seed": seed}),
        candidates=replace(
            load_config(CandidateConfig, CONFIGS / "candidates.yaml"),
            label_comparisons=judgments,
            blind_comparisons=blind,
            seed=seed,
        ),
    )
    panel = simulated(annotators, seed=seed, judge=function)
    report = output or outputs_dir() / "loop" / "report.json"
    _refuse_unwritable(report)
    _play(plan, panel, report, database_url, fresh)


def _refuse_unwritable(report: Path) -> None:
    """Say before the loop, not after it, that its report cannot be written."""
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=report.parent):
            pass
    except OSError as error:
        raise ConfigRefused(
            f"--output {report}: cannot be written ({error.strerror}); name another file"
        ) from error


def _play(
    plan: "LoopPlan",
    panel: "list[SimulatedAnnotator]",
    output: Path,
    database_url: str | None,
    fresh: bool,
) -> None:
    """Prepare ledger and engine, play, print and write the report."""
    from db import audit
    from db.sample import load_sample
    from db.session import sessions, upgrade
    from training.adapters import base_model_sha256, file_sha256
    from training.engine import EngineSettings, EngineSupervisor
    from training.loop import Loop
    from training.loop_report import environment, table, write_report
    from training.runs import RunFolder, digest
    from training.service import open_service

    began = time.monotonic()
    identity = asdict(plan)
    base = EngineSettings().base_model
    identity["base_model_sha256"] = base_model_sha256(base)
    if plan.judge:
        identity["judge_sha256"] = file_sha256(Path(plan.judge.rpartition(":")[0]).expanduser())
    root = outputs_dir() / "loop"
    if database_url is not None:
        root = root / f"{ON_LEDGER}{digest([database_url, identity])[:12]}"
    _begin_anew_where_needed(root, digest(identity), fresh)
    progress = RunFolder(root)
    if database_url is None:
        # Everything the loop makes stays in its own folder: ledger, adapters, runs, engine state.
        os.environ["PERSONALOOP_OUTPUTS"] = str(root)
        database_url = f"sqlite:///{root / 'loop.db'}"
    upgrade(database_url)
    make = sessions(database_url)
    with make.begin() as session:
        load_sample(session)
        told = {
            "rounds": plan.rounds,
            "judgments": plan.judgments,
            "judge": plan.judge or "built-in",
        }
        audit.record(session, actor(), "loop", ", ".join(plan.personas), **told)
    # An engine whose loop was killed ends by itself, unless the loop goes on before.
    settings = EngineSettings(idle_exit_s=900.0)
    with EngineSupervisor(settings):
        loop = Loop(
            make,
            plan,
            panel,
            lambda: open_service(settings),
            progress,
            say=lambda line: click.echo(f"[{time.monotonic() - began:5.0f} s] {line}", err=True),
        )
        rows = loop.run()
        service = loop.worker.service()
        about = environment(
            plan,
            base_model=service.stored_base,
            base_sha256=service.base_sha256,
            service="hosted Tinker" if service.hosted else "local engine",
        )
    about["wall_seconds_of_this_process"] = round(time.monotonic() - began, 1)
    write_report(output, rows, about)
    progress.write("finished.json", {"report": str(output)})
    click.echo(table(rows, plan))
    click.echo(f"report: {output}")


def _begin_anew_where_needed(root: Path, identity: str, fresh: bool) -> None:
    """Keep a killed loop of the same plan; set a finished or another one aside."""
    root.mkdir(parents=True, exist_ok=True)
    mark = root / "plan.sha256"
    same = mark.is_file() and mark.read_text(encoding="utf-8").strip() == identity
    over = (root / "finished.json").is_file()
    if mark.is_file() and (fresh or over or not same):
        stamp = time.strftime("before-%Y%m%dT%H%M%SZ-", time.gmtime())
        aside = Path(tempfile.mkdtemp(prefix=stamp, dir=root))
        for path in list(root.iterdir()):
            if not path.name.startswith(("before-", ON_LEDGER)):
                path.rename(aside / path.name)
        click.echo(f"the loop before this one was set aside: {aside}", err=True)
    elif same:
        click.echo("going on with the loop that was stopped here", err=True)
    mark.write_text(identity + "\n", encoding="utf-8")
