"""``personaloop loop``: where a loop keeps its things, and how it is started again.

Knows folders, the engine's supervision and options. What a round is, training/loop.py says.
"""

import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import click

from db.command_options import database_option
from db.settings import outputs_dir

DEFAULT_PERSONAS = ("playful_sidekick", "technical_advisor")


@click.command()
@click.option(
    "--judge",
    metavar="FILE.py:FUNCTION",
    help="A preference in place of the built-in one: function(messages, persona, response_a, "
    'response_b) -> "a", "b", "tie" or "both_bad", in shown order. Its verdicts are used as they '
    "are, stored by simulated annotators.",
)
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
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
    default=240,
    show_default=True,
    help="Blind comparisons on held-out prompts at the end of a round, at most.",
)
@click.option("--annotators", type=click.IntRange(1, 500), default=40, show_default=True)
@click.option(
    "--persona",
    "personas",
    multiple=True,
    help=f"Slug; repeat for several.  [default: {', '.join(DEFAULT_PERSONAS)}]",
)
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the report goes.  [default: outputs/loop/report.json]",
)
@click.option("--dpo-config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
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

    Without --database-url it works in a ledger of its own under outputs/loop/, begun anew each
    time. Killed, the same command goes on where it was. Takes some minutes on two cores.
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
    _play(plan, panel, output or outputs_dir() / "loop" / "report.json", database_url, fresh)


def _play(plan, panel, output: Path, database_url: str | None, fresh: bool) -> None:
    """Prepare ledger and engine, play, print and write the report."""
    from db.sample import load_sample
    from db.session import sessions, upgrade
    from training.adapters import base_model_sha256
    from training.engine import EngineSettings, EngineSupervisor
    from training.loop import Loop
    from training.loop_report import environment, table, write_report
    from training.runs import RunFolder, digest
    from training.service import open_service

    began = time.monotonic()
    identity = asdict(plan)
    base = EngineSettings().base_model
    identity["base_model_sha256"] = base_model_sha256(base)
    if database_url is None:
        root = outputs_dir() / "loop"
        _begin_anew_where_needed(root, digest(identity), fresh)
        # Everything the loop makes stays in its own folder: ledger, adapters, runs, engine state.
        os.environ["PERSONALOOP_OUTPUTS"] = str(root)
        database_url = f"sqlite:///{root / 'loop.db'}"
        progress = RunFolder(root)
    else:
        where = digest([database_url, identity])[:12]
        progress = RunFolder(outputs_dir() / "loop" / f"on-{where}")
    upgrade(database_url)
    make = sessions(database_url)
    with make.begin() as session:
        load_sample(session)
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
        aside = root / time.strftime("before-%Y%m%dT%H%M%SZ", time.gmtime())
        aside.mkdir()
        for path in list(root.iterdir()):
            if not path.name.startswith("before-"):
                path.rename(aside / path.name)
        click.echo(f"the loop before this one was set aside: {aside}", err=True)
    elif same:
        click.echo("going on with the loop that was stopped here", err=True)
    mark.write_text(identity + "\n", encoding="utf-8")
