"""The command line: mounts each room's commands, nothing else.

Rooms are imported when one of their commands runs, so that ``personaloop --help`` and labeling
never pay for torch. Knows nothing of what the commands do.
"""

import importlib
import logging
import os
import sys

import click

# Before numpy is loaded: its BLAS waits by spinning, so that two threads on two busy cores took
# 250 ms for what one does in 2 (a Cholesky factor of 200 x 200).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

COMMANDS = {
    "init": "db.commands:init",
    "users": "db.commands:users",
    "batches": "db.batch_commands:group",
    "gold": "db.gold_commands:gold",
    "annotators": "db.annotator_commands:annotators",
    "guidelines": "db.guideline_commands:guidelines",
    "backup": "db.commands:backup",
    "restore": "db.commands:restore",
    "doctor": "db.commands:doctor",
    "audit": "db.audit_commands:audit",
    "flags": "db.flag_commands:flags",
    "jobs": "db.job_commands:jobs",
    "import": "db.commands:import_",
    "export": "db.commands:export",
    "report": "db.report_command:report",
    "serve": "annotate_app.commands:serve",
    "engine": "training.engine.commands:engine",
    "data": "training.data_commands:data",
    "generate": "training.commands:generate",
    "sft": "training.commands:sft",
    "dpo": "training.commands:dpo",
    "retrain": "training.commands:retrain",
    "work": "training.commands:work",
    "tick": "training.tick_command:tick",
    "rounds": "training.round_commands:rounds",
    "adapters": "training.commands:adapters",
    "chat": "training.commands:chat",
    "evaluate": "training.commands:evaluate",
    "simulate": "training.commands:simulate",
    "loop": "training.commands:loop",
}


class Rooms(click.Group):
    """A group that imports a command's room on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the loop."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its room imported now; None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        return getattr(importlib.import_module(module), name)


@click.group(cls=Rooms, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="personaloop")
def personaloop() -> None:
    """Human preferences in, better persona adapters out.

    Exit status: 0 done, 1 refused or failed (one clear line on stderr), 2 usage.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    for library in ("httpx", "tinker", "alembic"):  # their routine is not the user's
        logging.getLogger(library).setLevel(logging.WARNING)


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and exit status 1, never a traceback."""
    from db.errors import PersonaLoopError

    try:
        personaloop(prog_name="personaloop")
    except PersonaLoopError as error:
        click.echo(f"personaloop: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
