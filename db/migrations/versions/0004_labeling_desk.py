"""Passwords, guidelines, practice, gold, repeats, flags, returns, adjudication, erasing.

Also columns that retraining needs: a job's fence, a run's key, a service's checkpoint paths.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.triggers import append_only, erasable

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Columns are added in place: alembic's batches would copy tables and lose their triggers.
    op.create_table(
        "guideline",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_guideline")),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_by", sa.String(length=120), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.create_index("ix_notice_open", ["seen_at", "id"], unique=False)

    op.create_table(
        "erasure",
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("pseudonym", sa.String(length=120), nullable=False),
        sa.Column("comments", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("comments >= -1", name=op.f("ck_erasure_comments")),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_erasure_annotator_id")
        ),
        sa.PrimaryKeyConstraint("annotator_id", name=op.f("pk_erasure")),
    )
    op.create_table(
        "guideline_acceptance",
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_guideline_acceptance_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["version"], ["guideline.version"], name=op.f("fk_guideline_acceptance_version")
        ),
        sa.PrimaryKeyConstraint("annotator_id", "version", name=op.f("pk_guideline_acceptance")),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(length=300), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_identity_annotator_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_identity_issuer_subject")),
    )
    with op.batch_alter_table("identity", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_identity_annotator_id"), ["annotator_id"], unique=False
        )

    op.create_table(
        "password",
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=200), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_password_annotator_id")
        ),
        sa.PrimaryKeyConstraint("annotator_id", name=op.f("pk_password")),
    )
    op.create_table(
        "onboarding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("guidelines", sa.String(length=16), nullable=False),
        sa.Column("practice", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "guidelines IN ('offered', 'required')", name=op.f("ck_onboarding_guidelines")
        ),
        sa.CheckConstraint(
            "practice IN ('off', 'offered', 'required')", name=op.f("ck_onboarding_practice")
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_onboarding_annotator_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_onboarding")),
    )
    op.create_index("ix_onboarding_whose", "onboarding", ["annotator_id", "id"], unique=False)
    op.create_table(
        "sign_in_try",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_try")),
    )
    op.create_index("ix_sign_in_try_last", "sign_in_try", ["last_at"], unique=False)

    op.create_table(
        "practice_item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("persona_slug", sa.String(length=64), nullable=True),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("response_a", sa.Text(), nullable=False),
        sa.Column("response_b", sa.Text(), nullable=False),
        sa.Column(
            "expected",
            sa.Enum(
                "a",
                "b",
                "tie",
                "both_bad",
                name="verdict",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_practice_item_persona_slug")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practice_item")),
        sa.UniqueConstraint("key", name=op.f("uq_practice_item_key")),
    )
    op.create_table(
        "batch_annotator",
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_batch_annotator_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batch.id"], name=op.f("fk_batch_annotator_batch_id")
        ),
        sa.PrimaryKeyConstraint("batch_id", "annotator_id", name=op.f("pk_batch_annotator")),
    )
    with op.batch_alter_table("batch_annotator", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_batch_annotator_annotator_id"), ["annotator_id"], unique=False
        )

    op.create_table(
        "practice_answer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column(
            "verdict",
            sa.Enum(
                "a",
                "b",
                "tie",
                "both_bad",
                name="verdict",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_practice_answer_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["item_id"], ["practice_item.id"], name=op.f("fk_practice_answer_item_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practice_answer")),
    )
    with op.batch_alter_table("practice_answer", schema=None) as batch_op:
        batch_op.create_index("ix_practice_answer_mine", ["annotator_id", "item_id"], unique=False)

    op.create_table(
        "adjudication",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("comparison_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column(
            "verdict",
            sa.Enum(
                "a",
                "b",
                "tie",
                "both_bad",
                name="verdict",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("strength", sa.Integer(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("judgments", sa.JSON(), nullable=False),
        sa.Column("placement", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(verdict IN ('a', 'b') AND strength IN (1, 2))"
            " OR (verdict IN ('tie', 'both_bad') AND strength IS NULL)",
            name=op.f("ck_adjudication_strength"),
        ),
        sa.CheckConstraint("placement IN (-1, 1)", name=op.f("ck_adjudication_placement")),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_adjudication_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparison.id"], name=op.f("fk_adjudication_comparison_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjudication")),
    )
    with op.batch_alter_table("adjudication", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_adjudication_comparison_id"), ["comparison_id"], unique=False
        )

    op.create_table(
        "set_aside",
        sa.Column("comparison_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=True),
        sa.Column("decided_by", sa.String(length=120), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "decision IN ('released', 'dropped')", name=op.f("ck_set_aside_decision")
        ),
        sa.CheckConstraint("overlap >= 0", name=op.f("ck_set_aside_overlap")),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparison.id"], name=op.f("fk_set_aside_comparison_id")
        ),
        sa.PrimaryKeyConstraint("comparison_id", name=op.f("pk_set_aside")),
    )
    op.create_table(
        "flag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("comparison_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("judgment_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.String(length=120), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_flag_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparison.id"], name=op.f("fk_flag_comparison_id")
        ),
        sa.ForeignKeyConstraint(["judgment_id"], ["judgment.id"], name=op.f("fk_flag_judgment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flag")),
    )
    with op.batch_alter_table("flag", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_flag_comparison_id"), ["comparison_id"], unique=False)
        batch_op.create_index("ix_flag_open", ["resolved_at", "id"], unique=False)

    op.create_table(
        "judgment_return",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("judgment_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_judgment_return_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["judgment_id"], ["judgment.id"], name=op.f("fk_judgment_return_judgment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgment_return")),
    )
    with op.batch_alter_table("judgment_return", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_judgment_return_judgment_id"), ["judgment_id"], unique=False
        )
        batch_op.create_index(
            "ix_judgment_return_open", ["annotator_id", "answered_at"], unique=False
        )

    op.create_table(
        "repeat",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=43), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("comparison_id", sa.Integer(), nullable=False),
        sa.Column("judgment_id", sa.Integer(), nullable=False),
        sa.Column("placement", sa.Integer(), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "verdict",
            sa.Enum(
                "a",
                "b",
                "tie",
                "both_bad",
                name="verdict",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("strength", sa.Integer(), nullable=True),
        sa.Column("dwell_ms", sa.Integer(), nullable=True),
        sa.CheckConstraint("placement IN (-1, 1)", name=op.f("ck_repeat_placement")),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_repeat_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparison.id"], name=op.f("fk_repeat_comparison_id")
        ),
        sa.ForeignKeyConstraint(
            ["judgment_id"], ["judgment.id"], name=op.f("fk_repeat_judgment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repeat")),
        sa.UniqueConstraint("token", name=op.f("uq_repeat_token")),
    )
    with op.batch_alter_table("repeat", schema=None) as batch_op:
        batch_op.create_index("ix_repeat_mine", ["annotator_id", "id"], unique=False)
        batch_op.create_index(
            "uq_repeat_one_open",
            ["annotator_id"],
            unique=True,
            sqlite_where=sa.text("answered_at IS NULL"),
            postgresql_where=sa.text("answered_at IS NULL"),
        )

    op.add_column("adapter", sa.Column("service", sa.JSON(), nullable=True))

    op.add_column("annotator", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("annotator", sa.Column("paused_reason", sa.Text(), nullable=True))

    op.add_column(
        "batch", sa.Column("purpose", sa.String(length=16), server_default="work", nullable=False)
    )
    op.add_column(
        "batch",
        sa.Column("strategy", sa.String(length=16), server_default="listed", nullable=False),
    )
    op.add_column(
        "batch", sa.Column("random_share", sa.Double(), server_default="0.2", nullable=False)
    )
    op.add_column(
        "batch", sa.Column("extra_overlap", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("batch", sa.Column("gold_rate", sa.Double(), server_default="0", nullable=False))
    op.add_column(
        "batch", sa.Column("repeat_rate", sa.Double(), server_default="0", nullable=False)
    )
    op.add_column(
        "batch", sa.Column("named_only", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("batch", sa.Column("rubric", sa.Text(), server_default="", nullable=False))
    op.add_column("batch", sa.Column("ranked_at", sa.DateTime(timezone=True), nullable=True))

    op.add_column("candidate", sa.Column("author_id", sa.Integer(), nullable=True))
    op.add_column("comparison", sa.Column("rank", sa.Integer(), server_default="0", nullable=False))
    op.drop_index("ix_comparison_open", "comparison", sqlite_where=sa.text("seats > 0"))
    op.create_index(
        "ix_comparison_open",
        "comparison",
        ["batch_id", "rank", "id"],
        unique=False,
        sqlite_where=sa.text("seats > 0"),
        postgresql_where=sa.text("seats > 0"),
    )

    op.add_column("invite", sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))

    op.add_column("job", sa.Column("fence", sa.Integer(), server_default="0", nullable=False))

    op.add_column("judgment", sa.Column("guideline_version", sa.Integer(), nullable=True))

    op.add_column("run", sa.Column("key", sa.String(length=64), nullable=True))
    op.add_column("run", sa.Column("code_sha256", sa.String(length=64), nullable=True))
    op.add_column("run", sa.Column("excluded", sa.JSON(), nullable=True))
    op.create_index(
        "uq_run_key",
        "run",
        ["key"],
        unique=True,
        sqlite_where=sa.text("state IN ('running', 'done')"),
        postgresql_where=sa.text("state IN ('running', 'done')"),
    )

    op.execute(
        "INSERT INTO flag (comparison_id, annotator_id, judgment_id, kind, note, created_at)"
        " SELECT comparison_id, annotator_id, id, flag, comment, created_at"
        " FROM judgment WHERE flag IS NOT NULL"
    )
    for table in ("guideline", "guideline_acceptance", "adjudication", "onboarding"):
        append_only(table)
    erasable("judgment", ("comment",), "erasure.annotator_id = OLD.annotator_id")
    erasable("audit_entry", ("actor", "subject", "detail"), "1 = 1")


def downgrade() -> None:
    raise NotImplementedError("the ledger is append-only: restore a backup instead")
