"""What the ledger's commands share: options, and who is typing."""

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
    """Who is typing, as the audit log names them."""
    return f"command line ({os.environ.get('USER') or os.environ.get('LOGNAME') or 'unknown'})"
