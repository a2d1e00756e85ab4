"""What the ledger's commands share: the database option, and whose acts they are."""

import os

import click

database_option = click.option(
    "--database-url",
    envvar="DATABASE_URL",
    default=None,
    help="The ledger: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
    "  [env DATABASE_URL; default: outputs/personaloop.db]",
)


def actor() -> str:
    """Who runs a command, as the audit log names them."""
    return f"command line ({os.environ.get('USER') or os.environ.get('LOGNAME') or 'unknown'})"
