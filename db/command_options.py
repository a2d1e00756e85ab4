"""Options that the ledger's commands share."""

import click

database_option = click.option(
    "--database-url",
    envvar="DATABASE_URL",
    default=None,
    help="The ledger: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
    "  [env DATABASE_URL; default: outputs/personaloop.db]",
)
