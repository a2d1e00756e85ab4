"""``personaloop engine``: serve the local engine alone, for any Tinker client.

Imports torch only once the command runs.
"""

import logging
import os
import sys
from pathlib import Path

import click

from db.errors import PersonaLoopError
from training.engine.settings import EngineSettings


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8787,
    show_default=True,
    help="TCP port; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to bind. Anything but the loopback opens the engine to the network.",
)
@click.option(
    "--key",
    envvar="PERSONALOOP_ENGINE_KEY",
    help="API key that clients send, beginning with tml-. Without it one is made and "
    "printed.  [env: PERSONALOOP_ENGINE_KEY]",
)
@click.option(
    "--base-model",
    type=click.Path(path_type=Path),
    help="Hugging Face folder of a causal language model.  [default: the shipped one, "
    "env: PERSONALOOP_BASE_MODEL]",
)
@click.option(
    "--adapters",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Root of <persona>/<adapter id>/ folders to offer as checkpoints; repeatable.  "
    "[default: outputs/lora and data/adapters]",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder for saved checkpoints and sessions.  [default: outputs/engine]",
)
@click.option("--device", help="Torch device.  [default: cuda where there is one, else cpu]")
@click.option(
    "--threads", type=click.IntRange(1), help="CPU threads of torch.  [default: all cores]"
)
@click.option(
    "--idle-exit",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="End after so many seconds without a request.  [default: never]",
)
@click.option("--prefer-port", type=int, hidden=True, help="Take this port if it is free.")
@click.option("--parent", type=int, hidden=True, help="End when this is no longer the parent.")
def engine(
    port: int,
    host: str,
    key: str | None,
    base_model: Path | None,
    adapters: tuple[Path, ...],
    state: Path | None,
    device: str | None,
    threads: int | None,
    idle_exit: float | None,
    parent: int | None,
    prefer_port: int | None,
) -> None:
    """Serve the local engine alone, for any Tinker client (tinker SDK 0.38).

    Prints its URL and the model name to ask for, and serves until Ctrl-C or SIGTERM. Exit status: 0
    ended, 1 cannot serve (one line says why), 2 usage.
    """
    from training.engine.serve import Announcement, serve

    chosen = {
        "base_model": base_model.resolve() if base_model else None,
        "adapters": tuple(root.resolve() for root in adapters) or None,
        "state_dir": state.resolve() if state else None,
    }
    settings = EngineSettings(
        host=host,
        port=port,
        key=key,
        device=device,
        threads=threads,
        idle_exit_s=idle_exit,
        parent=parent,
        prefer_port=prefer_port,
        **{name: value for name, value in chosen.items() if value is not None},
    )

    def ready(told: Announcement) -> None:
        given = key is not None
        if host not in ("127.0.0.1", "localhost", "::1"):
            click.echo(f"warning: {host} can be reached from the network", err=True)
        click.echo(f"engine ready at {told.url} (pid {os.getpid()})")
        click.echo(f"  base model  {told.base_model}")
        click.echo(f"  key         {'the one you gave' if given else told.key}")
        click.echo(f"  state       {settings.state_dir}")
        click.echo(
            f"  use it      TINKER_BASE_URL={told.url} TINKER_API_KEY="
            f"{'<your key>' if given else told.key} NO_PROXY=127.0.0.1 HF_HUB_OFFLINE=1"
        )

    serve(settings, ready=ready)


def main() -> None:
    """``python -m training.engine``: the command, with a user's mistake as one line."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        engine(prog_name="personaloop engine")
    except PersonaLoopError as error:
        click.echo(f"personaloop engine: {error}", err=True)
        sys.exit(1)
