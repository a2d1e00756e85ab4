"""An imported batch remembers the round that it was asked in.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batch", sa.Column("round_number", sa.Integer(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("the ledger is append-only: restore a backup instead")
