"""Exported pairs: the trainers' documented formats, what never trains, and the way back."""

import json
from pathlib import Path

import filling
import pytest
from filling import PERSONA
from sqlalchemy.orm import Session, sessionmaker

from db import pair_export, snapshots
from db.models import Batch, Comparison, SetAside
from db.pair_export import LeftOut, pair_rows
from training.pair_files import read_pairs
from training.pairs import PairOptions, build_pairs

Make = sessionmaker[Session]


def judged(session: Session) -> None:
    """Six pairs for training by two people who never disagree; one tie."""
    filling.persona(session)
    filling.batch(session, pairs=6)
    ann, bob = filling.crowd(session, ["ann", "bob"])
    for number in range(6):
        verdict = "tie" if number == 5 else "ab"[number % 2]
        assert filling.judge_next(session, (ann, bob)[number % 2], verdict)


def message_list(value: object, *roles: str) -> bool:
    """Whether this is what TRL calls conversational: messages of exactly role and content."""
    assert isinstance(value, list) and all(set(turn) == {"role", "content"} for turn in value)
    assert all(isinstance(turn["content"], str) and turn["content"] for turn in value)
    return tuple(turn["role"] for turn in value) == roles


def test_rows_are_what_the_trainers_document_through_json_and_back(make: Make) -> None:
    with make.begin() as session:
        judged(session)
        for shape in (
            pair_export.trl_rows,
            pair_export.trl_unpaired_rows,
            pair_export.cookbook_rows,
        ):
            left = LeftOut()
            rows = json.loads(json.dumps(list(shape(pair_rows(session, left)))))
            assert str(left) == "1 ties"
            for row in rows:
                if shape is pair_export.trl_rows:
                    assert message_list(row["prompt"], "user")
                    assert message_list(row["chosen"], "assistant")
                    assert message_list(row["rejected"], "assistant")
                    assert row["chosen"] != row["rejected"]
                elif shape is pair_export.trl_unpaired_rows:
                    assert message_list(row["prompt"], "user")
                    assert message_list(row["completion"], "assistant")
                    assert isinstance(row["label"], bool)
                else:
                    assert set(row) == {"comparison", "label"} and row["label"] in ("A", "B")
                    told = row["comparison"]
                    assert set(told) == {"prompt_conversation", "completion_A", "completion_B"}
                    assert message_list(told["prompt_conversation"], "user")
                    assert message_list(told["completion_A"], "assistant")
            assert len(rows) == (10 if shape is pair_export.trl_unpaired_rows else 5)


def test_pairs_of_a_file_are_those_of_the_ledger(make: Make, tmp_path: Path) -> None:
    options = PairOptions(heldout_share=0.3, strong=1.0)
    path = tmp_path / "pairs.jsonl"
    with make.begin() as session:
        judged(session)
        rows = pair_export.trl_rows(pair_rows(session, LeftOut()))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        taken = snapshots.take(session, PERSONA)
        ours = build_pairs(snapshots.rows(session, taken.id), options)
    back = read_pairs(path, options)
    for part in ("training", "heldout"):
        told = [(p.prompt, p.chosen, p.rejected, p.label) for p in getattr(back, part)]
        assert told == [(p.prompt, p.chosen, p.rejected, p.label) for p in getattr(ours, part)]


@pytest.mark.parametrize("what", ["heldout", "waiting", "dropped", "released", "gold"])
def test_what_no_snapshot_takes_is_in_no_file_of_pairs(make: Make, what: str) -> None:
    with make.begin() as session:
        judged(session)
        first = session.get_one(Comparison, 1)
        if what == "heldout":
            first.prompt.split = "heldout"
        elif what == "gold":
            session.get_one(Batch, first.batch_id).purpose = "gold"
        else:
            decision = None if what == "waiting" else what
            session.add(SetAside(comparison_id=1, reason="A", overlap=1, decision=decision))
        session.flush()
        left = LeftOut()
        kept = len(list(pair_rows(session, left)))
    assert kept == {"released": 5, "gold": 0}.get(what, 4)
    assert (left.heldout, left.aside) == {
        "heldout": (1, 0), "waiting": (0, 1), "dropped": (0, 1),
    }.get(what, (0, 0))  # fmt: skip
