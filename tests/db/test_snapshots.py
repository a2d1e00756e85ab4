"""Snapshots: canonical lines behind the hash, what never trains, and who is left out on purpose."""

import hashlib
import json
import random
from pathlib import Path

import filling
import pytest
from filling import PERSONA
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from db import erasing, labeling, snapshot_files, snapshots
from db.clock import utcnow
from db.doctor import examine
from db.errors import NotFound, Refused
from db.models import (
    Batch,
    Comparison,
    JobKind,
    Judgment,
    Prompt,
    Retraction,
    Run,
    SetAside,
    Snapshot,
)
from db.prompts import canonical_json
from training.rounds import left_out

Make = sessionmaker[Session]


def judged(session: Session, *names: str, pairs: int = 3) -> list[int]:
    """A batch that each of these people judged; their ids."""
    filling.persona(session)
    filling.batch(session, pairs=pairs, overlap=len(names))
    people = [filling.somebody(session, name).id for name in names]
    for who in people:
        while filling.judge_next(session, who, "a"):
            pass
    return people


def test_the_hash_of_a_snapshot_is_that_of_its_canonical_lines(make: Make) -> None:
    with make.begin() as session:
        ann, bob = judged(session, "ann", "bob")
        taken = snapshots.take(session, PERSONA)
        told = snapshots.to_jsonl(session, taken.id)
        assert hashlib.sha256(told).hexdigest() == taken.sha256
        lines = [json.loads(line) for line in told.decode().splitlines()]
        assert [line["judgment"] for line in lines] == snapshots.members(session, taken.id)
        assert {line["annotator"] for line in lines} == {ann, bob}
        first = lines[0]
        assert set(first) == {
            *("a", "b", "annotator", "judgment", "prompt", "strength", "verdict", "weight"),
        }
        row = snapshots.rows(session, taken.id)[0]
        assert first["a"]["sha256"] == hashlib.sha256(row.text_a.encode()).hexdigest()
        assert first["prompt"] == session.get_one(Prompt, row.prompt_id).sha256
        assert snapshots.stated(session, taken)


def test_the_same_verdicts_by_somebody_else_are_another_snapshot(make: Make) -> None:
    with make.begin() as session:
        ann, bob = judged(session, "ann", "bob")
        both = snapshots.take(session, PERSONA)
        anns = snapshots.take(session, PERSONA, without=[bob])
        bobs = snapshots.take(session, PERSONA, without=[ann])
        assert len({both.sha256, anns.sha256, bobs.sha256}) == 3
        assert (anns.n_judgments, bobs.n_judgments) == (3, 3)
        with pytest.raises(Refused, match="no standing judgment"):
            snapshots.take(session, PERSONA, without=[ann, bob])


def test_a_snapshot_without_somebody_is_the_rest_of_it_whatever_came_later(make: Make) -> None:
    with make.begin() as session:
        ann, bob = judged(session, "ann", "bob")
        taken = snapshots.take(session, PERSONA)
        eve = filling.somebody(session, "eve").id
        filling.batch(session, pairs=1, name="later")
        filling.judge_next(session, eve, "b")
        rest = snapshots.less(session, taken.id, [bob])
        assert rest.n_judgments == 3
        assert {row.annotator_id for row in snapshots.rows(session, rest.id)} == {ann}
        assert snapshots.less(session, taken.id, [bob]).id == rest.id
        with pytest.raises(Refused, match="none of the 6 judgments"):
            snapshots.less(session, taken.id, [eve])
        with pytest.raises(Refused, match="has only theirs"):
            snapshots.less(session, taken.id, [ann, bob])
        with pytest.raises(NotFound):
            snapshots.less(session, 999, [ann])


@pytest.mark.parametrize("what", ["gold", "heldout"])
def test_gold_and_held_out_prompts_never_train(make: Make, what: str) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=1)
        ann = filling.somebody(session).id
        kept = filling.judge_next(session, ann, "a")
        assert kept
        filling.batch(session, pairs=2, name="other")
        session.flush()
        batch = session.query(Batch).filter_by(name="other").one()
        if what == "gold":
            batch.purpose = "gold"
        while filling.judge_next(session, ann, "b"):
            pass
        if what == "heldout":
            rows = snapshots.rows_of(
                session, [id_ for id_, *_ in snapshots.eligible(session, PERSONA)]
            )
            last = session.get_one(Prompt, rows[-1].prompt_id)
            last.split = "heldout"
        session.flush()
        taken = snapshots.take(session, PERSONA)
        assert taken.n_judgments == (1 if what == "gold" else 2)


def first_form(session: Session, ids: list[int]) -> str:
    """The hash as the first version computed it."""
    digest = hashlib.sha256()
    for row in snapshots.rows_of(session, ids):
        prompt = session.get_one(Prompt, row.prompt_id).sha256
        line = [row.judgment_id, row.verdict.value, row.strength, row.weight]
        digest.update((canonical_json([*line, prompt, row.text_a, row.text_b]) + "\n").encode())
    return digest.hexdigest()


def test_doctor_verifies_snapshots_of_both_forms_and_finds_a_wrong_one(
    make: Make, url: str
) -> None:
    with make.begin() as session:
        judged(session, "ann", "bob")
        taken = snapshots.take(session, PERSONA)
        ids = snapshots.members(session, taken.id)
        for sha256, members in ((first_form(session, ids), ids), ("0" * 64, ids[:2])):
            row = Snapshot(
                persona_slug=PERSONA, sha256=sha256, n_judgments=len(members), n_simulated=0
            )
            session.add(row)
            session.flush()
            for each in members:
                session.execute(
                    text("INSERT INTO snapshot_judgment VALUES (:snapshot, :judgment)"),
                    {"snapshot": row.id, "judgment": each},
                )
    wrong = [each.text for each in examine(url) if not each.ok and "snapshot" in each.text]
    assert len(wrong) == 1 and wrong[0].startswith("snapshot 3 of")


KINDS = ("label", "blind", "gold", "heldout", "aside", "released", "undone")


@pytest.mark.parametrize("seed", range(4))
def test_every_standing_judgment_is_in_the_snapshot_or_counted_under_its_reason(
    make: Make, seed: int
) -> None:
    """Whatever is judged by whom: kept and dropped together are all that stands."""
    chance = random.Random(seed)
    with make.begin() as session:
        filling.persona(session)
        crowd = [
            filling.somebody(session, "ann").id,
            filling.somebody(session, "bob").id,
            filling.somebody(session, "robot", "simulated").id,
        ]
        for kind in chance.choices(KINDS, k=5):
            name = f"{kind} {chance.random()}"
            filling.batch(
                session, pairs=3, overlap=2, name=name, kind="blind" if kind == "blind" else "label"
            )
            made = session.query(Batch).filter_by(name=name).one()
            for who in chance.sample(crowd, 2):
                for _ in range(chance.randint(1, 3)):
                    filling.judge_next(session, who, chance.choice(["a", "b", "tie", "both_bad"]))
                if kind == "undone":
                    labeling.undo(session, who)
            if kind == "gold":
                made.purpose = "gold"
            for comparison in session.query(Comparison).filter_by(batch_id=made.id):
                if kind == "heldout" and chance.random() < 0.7:
                    comparison.prompt.split = "heldout"
                if kind in ("aside", "released"):
                    decision = (
                        "released" if kind == "released" else chance.choice([None, "dropped"])
                    )
                    session.add(
                        SetAside(
                            comparison_id=comparison.id, reason="A says x", overlap=2,
                            decision=decision,
                        )
                    )  # fmt: skip
        erased = erasing.erase(session, "bob", actor="ann")
        assert erased.annotator_id == crowd[1]
        without = chance.choice([[], [crowd[0]]])
        standing = (
            session.query(Judgment)
            .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
            .filter(Retraction.judgment_id.is_(None))
            .count()
        )
        try:
            taken = snapshots.take(
                session, PERSONA, include_simulated=seed % 2 == 0, without=without
            )
        except Refused:
            taken = Snapshot(id=0, persona_slug=PERSONA, n_judgments=0)
        told = left_out(session, taken, utcnow(), without)
        dropped = sum(n for why, n in told.items() if why not in ("revised or undone", "skipped"))
        assert taken.n_judgments + dropped == standing, told
        for row in snapshots.rows_of(session, snapshots.members(session, taken.id)):
            comparison = session.get_one(Comparison, row.comparison_id)
            assert comparison.batch.kind != "blind" and comparison.batch.purpose != "gold"
            assert comparison.prompt.split != "heldout"
            aside = session.get(SetAside, row.comparison_id)
            assert aside is None or aside.decision == "released"


def test_the_file_in_a_run_folder_is_the_snapshot_and_doctor_sees_it_altered_or_gone(
    make: Make, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    folder = tmp_path / "runs" / "one"
    with make.begin() as session:
        judged(session, "ann", "bob")
        taken = snapshots.take(session, PERSONA)
        session.add(
            Run(kind=JobKind.RETRAIN, persona_slug=PERSONA, snapshot_id=taken.id,
                folder="outputs/runs/one")
        )  # fmt: skip
        assert snapshot_files.keep(session, taken, folder, begun=False) is None
        path = folder / "snapshot.jsonl"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == taken.sha256
        assert path.stat().st_mode & 0o777 == 0o444
        assert snapshot_files.keep(session, taken, folder, begun=True) is None

    def wrong() -> list[str]:
        return [each.text for each in examine(url) if not each.ok and "snapshot" in each.text]

    assert wrong() == []
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"verdict":"a"', b'"verdict":"b"', 1))
    (said,) = wrong()
    assert "snapshot.jsonl is not snapshot 1" in said and "restore" in said
    with make.begin() as session:
        taken = session.get_one(Snapshot, 1)
        assert "altered" in str(snapshot_files.keep(session, taken, folder, begun=True))
    path.unlink()
    assert wrong() == [], "a run of earlier code has none"
    (folder / "pairs.json").write_text('{"snapshot": "abc"}')
    (said,) = wrong()
    assert "cannot be read" in said
