# ruff: noqa: E501
"""The ledger's first tables.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.triggers import append_only

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "judgment",
    "retraction",
    "alias_change",
    "audit_entry",
    "snapshot",
    "snapshot_judgment",
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    # An adapter names its run and a run its reference adapter: PostgreSQL takes one of the two
    # keys only when both tables stand, SQLite only when the table is made.
    cycle = [sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_adapter_run_id")]
    if not sqlite:
        cycle = []
    op.create_table(
        "annotator",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "human",
                "simulated",
                "automatic",
                name="annotatorkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "role",
            sa.Enum(
                "evaluator",
                "analyst",
                "admin",
                name="role",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotator")),
        sa.UniqueConstraint("name", name=op.f("uq_annotator_name")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    op.create_table(
        "persona",
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("template_sha256", sa.String(length=64), nullable=False),
        sa.Column("front_matter", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_persona")),
    )
    op.create_table(
        "prompt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("split", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=120), nullable=False),
        sa.Column("journey", sa.String(length=64), nullable=True),
        sa.Column("intent", sa.String(length=64), nullable=True),
        sa.Column("locale", sa.String(length=16), nullable=True),
        sa.Column("tier", sa.String(length=32), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "split IN ('loop', 'heldout', 'imported')", name=op.f("ck_prompt_split")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt")),
        sa.UniqueConstraint("sha256", name=op.f("uq_prompt_sha256")),
    )
    op.create_table(
        "adapter",
        sa.Column("id", sa.String(length=160), nullable=False),
        sa.Column("persona_slug", sa.String(length=64), nullable=True),
        sa.Column(
            "kind",
            sa.Enum(
                "base",
                "sft",
                "dpo",
                "fused",
                "external",
                name="adapterkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("base_model_sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_adapter_persona_slug")
        ),
        *cycle,
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adapter")),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "label",
                "blind",
                "imported",
                name="batchkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "open",
                "paused",
                "closed",
                name="batchstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("persona_slug", sa.String(length=64), nullable=True),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("overlap >= 1", name=op.f("ck_batch_overlap")),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_batch_persona_slug")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint("name", name=op.f("uq_batch_name")),
    )
    op.create_table(
        "invite",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_invite_annotator_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invite")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_invite_token_sha256")),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "generate",
                "sft",
                "retrain",
                name="jobkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("persona_slug", sa.String(length=64), nullable=True),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "running",
                "done",
                "failed",
                "cancelled",
                name="jobstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("worker", sa.String(length=120), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("progress >= 0 AND progress <= 1", name=op.f("ck_job_progress")),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_job_persona_slug")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index("ix_job_queue", ["state", "id"], unique=False)
        batch_op.create_index(
            "uq_job_one_retrain",
            ["persona_slug"],
            unique=True,
            sqlite_where=sa.text("kind = 'retrain' AND state IN ('queued', 'running')"),
            postgresql_where=sa.text("kind = 'retrain' AND state IN ('queued', 'running')"),
        )

    op.create_table(
        "login",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_login_annotator_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_login_token_sha256")),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("persona_slug", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("n_judgments", sa.Integer(), nullable=False),
        sa.Column("n_simulated", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_snapshot_persona_slug")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
        sa.UniqueConstraint("sha256", name=op.f("uq_snapshot_sha256")),
    )
    op.create_table(
        "alias_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("persona_slug", sa.String(length=64), nullable=False),
        sa.Column("adapter_id", sa.String(length=160), nullable=False),
        sa.Column("previous_id", sa.String(length=160), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapter.id"], name=op.f("fk_alias_change_adapter_id")
        ),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_alias_change_persona_slug")
        ),
        sa.ForeignKeyConstraint(
            ["previous_id"], ["adapter.id"], name=op.f("fk_alias_change_previous_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias_change")),
    )
    with op.batch_alter_table("alias_change", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_alias_change_persona_slug"), ["persona_slug"], unique=False
        )

    op.create_table(
        "candidate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.Integer(), nullable=False),
        sa.Column("persona_slug", sa.String(length=64), nullable=True),
        sa.Column("adapter_id", sa.String(length=160), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sampling", sa.JSON(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=True),
        sa.Column("tokens", sa.LargeBinary(), nullable=True),
        sa.Column("logprobs", sa.LargeBinary(), nullable=True),
        sa.Column("stop_reason", sa.String(length=16), nullable=True),
        sa.Column("source", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter_id"], ["adapter.id"], name=op.f("fk_candidate_adapter_id")
        ),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_candidate_persona_slug")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_candidate_prompt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_candidate")),
        sa.UniqueConstraint(
            "prompt_id",
            "persona_slug",
            "adapter_id",
            "seed",
            "source",
            name=op.f("uq_candidate_prompt_id_persona_slug_adapter_id_seed_source"),
        ),
    )
    with op.batch_alter_table("candidate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_candidate_adapter_id"), ["adapter_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_candidate_prompt_id"), ["prompt_id"], unique=False)

    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "kind",
            sa.Enum(
                "generate",
                "sft",
                "retrain",
                name="jobkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("persona_slug", sa.String(length=64), nullable=False),
        sa.Column("snapshot_id", sa.Integer(), nullable=True),
        sa.Column("reference_id", sa.String(length=160), nullable=True),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "running",
                "done",
                "failed",
                "cancelled",
                name="jobstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_run_job_id")),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_run_persona_slug")
        ),
        sa.ForeignKeyConstraint(["reference_id"], ["adapter.id"], name=op.f("fk_run_reference_id")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("fk_run_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_table(
        "comparison",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.Integer(), nullable=False),
        sa.Column("persona_slug", sa.String(length=64), nullable=True),
        sa.Column("candidate_a_id", sa.Integer(), nullable=False),
        sa.Column("candidate_b_id", sa.Integer(), nullable=False),
        sa.Column(
            "gold",
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
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(length=160), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "candidate_a_id < candidate_b_id", name=op.f("ck_comparison_canonical_order")
        ),
        sa.CheckConstraint("seats >= 0 AND seats <= overlap", name=op.f("ck_comparison_seats")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_comparison_batch_id")),
        sa.ForeignKeyConstraint(
            ["candidate_a_id"], ["candidate.id"], name=op.f("fk_comparison_candidate_a_id")
        ),
        sa.ForeignKeyConstraint(
            ["candidate_b_id"], ["candidate.id"], name=op.f("fk_comparison_candidate_b_id")
        ),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_comparison_persona_slug")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_comparison_prompt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparison")),
        sa.UniqueConstraint(
            "batch_id",
            "candidate_a_id",
            "candidate_b_id",
            name=op.f("uq_comparison_batch_id_candidate_a_id_candidate_b_id"),
        ),
    )
    with op.batch_alter_table("comparison", schema=None) as batch_op:
        batch_op.create_index("ix_comparison_external", ["batch_id", "external_id"], unique=False)
        batch_op.create_index(
            "ix_comparison_open",
            ["batch_id", "id"],
            unique=False,
            sqlite_where=sa.text("seats > 0"),
            postgresql_where=sa.text("seats > 0"),
        )

    op.create_table(
        "round",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("persona_slug", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "labeling",
                "training",
                "blind",
                "promoted",
                "rejected",
                name="roundstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("incumbent_id", sa.String(length=160), nullable=False),
        sa.Column("challenger_id", sa.String(length=160), nullable=True),
        sa.Column("label_batch_id", sa.Integer(), nullable=True),
        sa.Column("blind_batch_id", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("decision", sa.JSON(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["blind_batch_id"], ["batch.id"], name=op.f("fk_round_blind_batch_id")
        ),
        sa.ForeignKeyConstraint(
            ["challenger_id"], ["adapter.id"], name=op.f("fk_round_challenger_id")
        ),
        sa.ForeignKeyConstraint(
            ["incumbent_id"], ["adapter.id"], name=op.f("fk_round_incumbent_id")
        ),
        sa.ForeignKeyConstraint(
            ["label_batch_id"], ["batch.id"], name=op.f("fk_round_label_batch_id")
        ),
        sa.ForeignKeyConstraint(
            ["persona_slug"], ["persona.slug"], name=op.f("fk_round_persona_slug")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_round_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_round")),
        sa.UniqueConstraint("persona_slug", "number", name=op.f("uq_round_persona_slug_number")),
    )
    op.create_table(
        "assignment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=43), nullable=False),
        sa.Column("comparison_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("placement", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "leased",
                "judged",
                "skipped",
                "released",
                "withdrawn",
                name="assignmentstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("seat", sa.Boolean(), nullable=False),
        sa.Column("skip_reason", sa.Text(), nullable=True),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('leased', 'judged') OR NOT seat", name=op.f("ck_assignment_seat")
        ),
        sa.CheckConstraint("placement IN (-1, 1)", name=op.f("ck_assignment_placement")),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_assignment_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparison.id"], name=op.f("fk_assignment_comparison_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
        sa.UniqueConstraint(
            "comparison_id",
            "annotator_id",
            "attempt",
            name=op.f("uq_assignment_comparison_id_annotator_id_attempt"),
        ),
        sa.UniqueConstraint("token", name=op.f("uq_assignment_token")),
    )
    with op.batch_alter_table("assignment", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_assignment_comparison_id"), ["comparison_id"], unique=False
        )
        batch_op.create_index("ix_assignment_latest", ["annotator_id", "id"], unique=False)
        batch_op.create_index(
            "ix_assignment_lease",
            ["expires_at"],
            unique=False,
            sqlite_where=sa.text("state = 'leased'"),
            postgresql_where=sa.text("state = 'leased'"),
        )
        batch_op.create_index("ix_assignment_mine", ["annotator_id", "state"], unique=False)
        batch_op.create_index(
            "uq_assignment_one_lease",
            ["annotator_id"],
            unique=True,
            sqlite_where=sa.text("state = 'leased'"),
            postgresql_where=sa.text("state = 'leased'"),
        )

    op.create_table(
        "judgment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
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
        sa.Column("placement", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("in_character", sa.String(length=8), nullable=True),
        sa.Column("helpful", sa.String(length=8), nullable=True),
        sa.Column("safe", sa.String(length=8), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("flag", sa.String(length=32), nullable=True),
        sa.Column("dwell_ms", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(length=120), nullable=False),
        sa.Column("external_id", sa.String(length=160), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(verdict IN ('a', 'b') AND strength IN (1, 2)) OR (verdict IN ('tie', 'both_bad') AND strength IS NULL)",
            name=op.f("ck_judgment_strength"),
        ),
        sa.CheckConstraint("placement IN (-1, 0, 1)", name=op.f("ck_judgment_placement")),
        sa.CheckConstraint("weight > 0", name=op.f("ck_judgment_weight")),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name=op.f("fk_judgment_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignment.id"], name=op.f("fk_judgment_assignment_id")
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["comparison.id"], name=op.f("fk_judgment_comparison_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgment")),
        sa.UniqueConstraint("assignment_id", name=op.f("uq_judgment_assignment_id")),
    )
    with op.batch_alter_table("judgment", schema=None) as batch_op:
        batch_op.create_index("ix_judgment_annotator", ["annotator_id", "created_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_judgment_comparison_id"), ["comparison_id"], unique=False
        )

    op.create_table(
        "retraction",
        sa.Column("judgment_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["judgment_id"], ["judgment.id"], name=op.f("fk_retraction_judgment_id")
        ),
        sa.PrimaryKeyConstraint("judgment_id", name=op.f("pk_retraction")),
    )
    op.create_table(
        "snapshot_judgment",
        sa.Column("snapshot_id", sa.Integer(), nullable=False),
        sa.Column("judgment_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["judgment_id"], ["judgment.id"], name=op.f("fk_snapshot_judgment_judgment_id")
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name=op.f("fk_snapshot_judgment_snapshot_id")
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "judgment_id", name=op.f("pk_snapshot_judgment")),
    )
    with op.batch_alter_table("snapshot_judgment", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_snapshot_judgment_judgment_id"), ["judgment_id"], unique=False
        )

    if not sqlite:
        op.create_foreign_key("fk_adapter_run_id", "adapter", "run", ["run_id"], ["id"])
    for table in APPEND_ONLY:
        append_only(table)


def downgrade() -> None:
    raise NotImplementedError("the ledger is append-only: restore a backup instead")
