"""The ledger's schema history (alembic). Each revision knows its own tables, never db.models."""

import logging

logging.getLogger("alembic").setLevel(logging.WARNING)  # its plugins announce themselves at import
