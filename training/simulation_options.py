"""Options of the commands that let simulated annotators judge."""

import click

annotators_option = click.option(
    "--annotators",
    type=click.IntRange(1, 500),
    default=40,
    show_default=True,
    help="How many simulated annotators share the work.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=7,
    show_default=True,
    help="Same seed, same characters and same choices.",
)
