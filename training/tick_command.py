"""``personaloop tick``: one look at every persona, for cron and systemd.

Parses options and prints; what is done is in training/tick.py.
"""

from pathlib import Path

import click

from db.command_options import actor, database_option
from training.errors import TickFailed

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print what would be done; nothing is written.")
@click.option(
    "--config",
    type=FILE,
    help="When to retrain (pairs, prompts, hours) and what judgments must be like."
    "  [default: configs/job.yaml]",
)
@database_option
def tick(dry_run: bool, config: Path | None, database_url: str | None) -> None:
    """Decide complete blind comparisons and queue a retraining for every persona that is due.

    Prints one line a persona: what was done, or why not. Runs in a second or two and trains
    nothing: `personaloop work` (part of `personaloop serve`) does. Run it as often as you like, at
    once or twice: at most one retraining a persona is queued. Exit status 1 where looking at a
    persona failed; the others are looked at all the same. docs/operating.md has units for cron and
    systemd.
    """
    from db.session import readers, sessions, upgrade
    from training.candidates import CandidateConfig
    from training.configs import CONFIGS, load_config
    from training.dpo_config import DPOConfig
    from training.job_config import JobConfig
    from training.tick import Tick

    job = load_config(JobConfig, config or CONFIGS / "job.yaml")
    dpo = load_config(DPOConfig, CONFIGS / "dpo.yaml")
    candidates = load_config(CandidateConfig, CONFIGS / "candidates.yaml")
    upgrade(database_url)
    look = Tick(
        sessions(database_url), readers(database_url), job, dpo, candidates, actor(), dry_run
    )
    failed = []
    for found in look.look():
        click.echo(f"{found.persona}: {found.words}")
        failed += [found.persona] if found.failed else []
    if failed:
        raise TickFailed(f"looking at {', '.join(failed)} failed; the lines above say why")
