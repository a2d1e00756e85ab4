"""Lineage on both databases: from judgments to aliases and back, as values, text and a graph."""

import json

import filling
import pytest
from filling import PERSONA
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, batches, labeling, lineage, lineage_judgments, lineage_words, snapshots
from db.errors import NotFound, Refused
from db.models import BatchKind, JobKind, JobState, Round, RoundState, Run

Make = sessionmaker[Session]
OLD, CHILD = f"{PERSONA}-old", "child"


def family(session: Session) -> list[int]:
    """A child of `old` from four judgments, that met it blind and was promoted; the judgments."""
    filling.persona(session)
    filling.batch(session, pairs=2, overlap=2, name="round 1")
    people = [filling.somebody(session, "ann").id, filling.somebody(session, "r", "simulated").id]
    for who in people:
        while filling.judge_next(session, who):
            pass
    taken = snapshots.take(session, PERSONA, include_simulated=True)
    run = Run(
        kind=JobKind.RETRAIN, persona_slug=PERSONA, snapshot_id=taken.id, reference_id=OLD,
        key="k" * 64, code_sha256="c" * 64, state=JobState.DONE,
        config={"loss": "sigmoid", "beta": 0.1, "seed": 7},
    )  # fmt: skip
    session.add(run)
    session.flush()
    parents = [{"id": OLD, "sha256": "x", "weight": 1.0}, {"id": "far away", "sha256": "y"}]
    adapters.put_adapter(
        session, id=CHILD, kind="dpo", persona=PERSONA, parents=parents, run_id=run.id
    )
    blind = batches.open_batch(
        session, name="blind 1", kind=BatchKind.BLIND, persona=PERSONA, overlap=1
    )
    for number in range(3):
        ask = f"held {number}?"
        mine = filling.candidate(session, f"child says {number}", ask=ask)
        mine.adapter_id = CHILD
        other = filling.candidate(session, f"old says {number}", ask=ask, seed=2)
        batches.put_comparison(session, blind, mine, other)
    for won in (True, False, None):
        shown = labeling.claim(session, people[0])
        assert shown is not None
        verdict = "a" if shown.response_a.startswith("child") is won else "b"
        labeling.judge(
            session, shown.token, people[0], "tie" if won is None else verdict, min_dwell=False
        )
    session.add(
        Round(
            persona_slug=PERSONA, number=1, state=RoundState.PROMOTED, incumbent_id=OLD,
            challenger_id=CHILD, blind_batch_id=blind.id, run_id=run.id,
            decision={"words": "Promoted"}, decided_at=run.started_at,
        )
    )  # fmt: skip
    adapters.promote(session, PERSONA, CHILD, reason="won", actor="gate")
    return snapshots.members(session, taken.id)


def test_a_tree_tells_judgments_run_comparison_and_aliases_down_to_the_base(make: Make) -> None:
    with make.begin() as session:
        family(session)
        found = lineage.tree(session, CHILD)
        with pytest.raises(NotFound):
            lineage.tree(session, "nobody")
    assert found["snapshot"]["by_annotator"] == [
        {"annotator": "ann", "kind": "human", "judgments": 2},
        {"annotator": "r", "kind": "simulated", "judgments": 2},
    ]
    assert found["snapshot"]["by_batch"] == [{"batch": "round 1", "kind": "label", "judgments": 4}]
    assert (found["run"]["key"], found["run"]["code_sha256"]) == ("k" * 64, "c" * 64)
    (met,) = found["comparisons"]
    assert (met["wins"], met["losses"], met["ties"], met["judgments"]) == (1, 1, 1, 3)
    assert met["win_rate"] == 0.5 and 0 < met["ci_low"] < 0.5 < met["ci_high"] < 1
    assert (met["against"], met["decided"], met["words"]) == (OLD, "promoted", "Promoted")
    assert [(each["answers"], each["other"]) for each in found["aliases"]] == [(True, OLD)]
    old, far = found["parents"]
    assert far == {"id": "far away", "sha256": "y"}
    assert old["weight"] == 1.0 and old["run"] is None and old["parents"] == []
    assert [(each["answers"], each["other"]) for each in old["aliases"]] == [
        (True, None),
        (False, CHILD),
    ]
    assert (old["comparisons"][0]["wins"], old["comparisons"][0]["against"]) == (1, CHILD)
    json.dumps(found, default=str)


def test_text_and_graph_say_the_same_and_quote_what_was_typed(make: Make) -> None:
    with make.begin() as session:
        family(session)
        filling.somebody(session, "ann").name = 'an "ann"\n-> b'
        found = lineage.tree(session, CHILD)
    text = lineage_words.as_text(found)
    for part in (
        "child (dpo)",
        "learned from 4 judgments (SIMULATED 2)",
        "key kkkkkkkkkkkk…, code cccccccccccc…",
        "loss sigmoid, beta 0.1, seed 7",
        f"blind 'blind 1' against {OLD}: 50% (",
        "1 won, 1 lost, 1 tie, 0 both bad; child was promoted",
        f"├─ {OLD} (sft)",
        "└─ far away (not in this ledger",
        "base model",
        f"now {CHILD}",
    ):
        assert part in text, part
    graph = lineage_words.as_dot(found)
    assert graph.count("{") == graph.count("}") == 1
    for edge in (
        '"judgments round 1" -> "snapshot 1"',
        '"snapshot 1" -> "run 1"',
        '"run 1" -> "adapter child"',
        f'"adapter {OLD}" -> "adapter child"',
        '"adapter child" -> "blind blind 1"',
        f'"adapter child" -> "alias {PERSONA}"',
    ):
        assert graph.count(edge) == 1, edge  # fmt: skip
    assert all(line.endswith((";", "{", "}")) for line in graph.splitlines())
    assert lineage_words.as_dot({**found, "id": 'x"; }'}).count('"adapter x\\"; }"') > 1


def test_a_judgment_knows_the_adapters_that_it_trained_and_they_know_it(make: Make) -> None:
    with make.begin() as session:
        ids = family(session)
        filling.batch(session, pairs=1, name="later")
        late = filling.judge_next(session, filling.somebody(session, "ann").id)
        assert late is not None
        assert lineage_judgments.trained_by(session, [*ids, late.id]) == {
            each: [CHILD] for each in ids
        }
        taken = lineage.tree(session, CHILD)["snapshot"]["id"]
        total, (second,) = lineage_judgments.comparisons_of(session, taken, offset=1, limit=1)
        assert total == 2 and second["batch"] == "round 1" and second["text_a"] == "old says 1"
        assert {each["annotator"] for each in second["judgments"]} == {"ann", "r"}
        assert {each["id"] for each in second["judgments"]} < set(ids)


def test_a_counterfactual_is_marked_never_promoted_and_trains_nothing_in_the_books(
    make: Make,
) -> None:
    with make.begin() as session:
        ids = family(session)
        robot = filling.somebody(session, "r", "simulated").id
        taken = lineage.tree(session, CHILD)["snapshot"]["id"]
        rest = snapshots.less(session, taken, [robot])
        run = Run(kind=JobKind.RETRAIN, persona_slug=PERSONA, snapshot_id=rest.id, excluded=[robot])
        session.add(run)
        session.flush()
        adapters.put_adapter(
            session, id="what-if", kind="dpo", persona=PERSONA, run_id=run.id,
            metrics={"without": [robot], "counterfactual_of": CHILD},
        )  # fmt: skip
        told = lineage.tree(session, "what-if")
        assert told["without"] == ["r"]
        assert "COUNTERFACTUAL: trained without r" in lineage_words.as_text(told)
        assert lineage.tree(session, CHILD)["counterfactuals"] == ["what-if"]
        assert set(lineage_judgments.trained_by(session, ids)) == set(ids)
        assert all(
            "what-if" not in names for names in lineage_judgments.trained_by(session, ids).values()
        )
        with pytest.raises(Refused, match="counterfactual"):
            adapters.promote(session, PERSONA, "what-if", reason="", actor="ann")
