"""An erasure may also rename in promotions, guidelines and adjudications. Changes triggers only.

Revision ID: 0005
Revises: 0004
"""

from db.migrations.triggers import erasable

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    erasable("alias_change", ("reason", "actor"), "1 = 1")
    erasable("guideline", ("text", "author"), "1 = 1")
    erasable("adjudication", ("note",), "1 = 1")


def downgrade() -> None:
    raise NotImplementedError("the ledger is append-only: restore a backup instead")
