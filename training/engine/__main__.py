"""``python -m training.engine``: serve the local engine."""

from training.engine.commands import main

main()
