"""Snapshots: canonical lines behind the hash, what never trains, and who is left out on purpose."""

import hashlib
import json

import filling
import pytest
from filling import PERSONA
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from db import snapshots
from db.doctor import examine
from db.errors import NotFound, Refused
from db.models import Batch, Prompt, Snapshot
from db.prompts import canonical_json

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
