"""Flags, adjudication and the audit log, as an admin uses them; on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adjudication, audit, batches, flags, labeling, people
from db.clock import utcnow
from db.errors import LeaseLost, Refused
from db.models import Adjudication, Comparison, Verdict
from tests.db import filling

Make = sessionmaker[Session]


def _asked(make: Make, overlap: int = 2, names: tuple[str, ...] = ("ann", "bob")) -> list[int]:
    """One pair to judge, and who judges; the first id is the pair's."""
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=1, overlap=overlap)
        who = filling.crowd(session, names)
        return [session.scalars(select(Comparison.id)).one(), *who]


def _judge(make: Make, who: int, canonical: str) -> None:
    """Judge what is next so that the canonical verdict is this one."""
    with make.begin() as session:
        shown = labeling.claim(session, who)
        assert shown is not None
        verdict = Verdict(canonical)
        said = verdict if shown.placement > 0 else batches.SWAPPED[verdict]
        labeling.judge(session, shown.token, who, said, min_dwell=False)


def _waiting(make: Make) -> list[int]:
    with make() as session:
        return [each.comparison_id for each in adjudication.waiting(session)]


def _admin(make: Make, name: str) -> int:
    with make.begin() as session:
        return people.put_annotator(session, name, role="admin").id


def test_a_flag_waits_until_somebody_says_what_was_done(make: Make) -> None:
    pair, ann, _ = _asked(make)
    with make.begin() as session:
        first = flags.raise_flag(session, pair, ann, "unsafe", "<b>a knife</b>")
        assert flags.raise_flag(session, pair, ann, "unsafe", "<b>a knife</b>").id == first.id
        (waiting,) = flags.waiting(session)
        assert (waiting.note, waiting.by, waiting.judged) == ("<b>a knife</b>", "ann", False)
        with pytest.raises(Refused, match="few words"):
            flags.resolve(session, first.id, "  ", actor="Ada")
        flags.resolve(session, first.id, "looked, is fine", actor="Ada")
        with pytest.raises(Refused, match="already by Ada"):
            flags.resolve(session, first.id, "again", actor="Bo")
        assert flags.waiting(session) == []
        assert flags.resolved(session)[0].resolution == "looked, is fine"
        assert audit.entries(session)[0].act == "resolve flag"


def test_a_flagged_pair_leaves_the_queue_and_keeps_its_judgments(make: Make) -> None:
    pair, ann, bob = _asked(make, overlap=3)
    _judge(make, ann, "a")
    with make.begin() as session:
        held = labeling.claim(session, bob)
        flag = flags.raise_flag(session, pair, ann, "broken", None)
    assert held is not None
    with make.begin() as session:
        assert flags.stop_asking(session, flag.id, actor="Ada") == 1
        row = session.get_one(Comparison, pair)
        assert (row.overlap, row.seats) == (1, 0)
        with pytest.raises(LeaseLost):
            labeling.judge(session, held.token, bob, "a", min_dwell=False)
    with make.begin() as session:
        assert labeling.claim(session, bob) is None


def test_a_pair_waits_for_a_decision_once_all_are_heard_and_disagree(make: Make) -> None:
    pair, ann, bob = _asked(make)
    _judge(make, ann, "a")
    assert _waiting(make) == []
    _judge(make, bob, "b")
    assert _waiting(make) == [pair]


def test_a_pair_whose_judgments_agree_never_waits(make: Make) -> None:
    _, ann, bob = _asked(make)
    _judge(make, ann, "a")
    _judge(make, bob, "a")
    assert _waiting(make) == []


def test_a_decision_is_blind_stable_and_stored_in_canonical_order(make: Make) -> None:
    pair, ann, bob = _asked(make)
    _judge(make, ann, "a")
    _judge(make, bob, "b")
    expert = _admin(make, "eve")
    with make.begin() as session:
        case = adjudication.case(session, pair, expert)
        assert case == adjudication.case(session, pair, expert)
        assert (case.response_a.startswith("old")) == (case.placement > 0)
        told = adjudication.opinions(session, pair, case.placement)
        assert {each.annotator for each in told} == {"ann", "bob"}
        adjudication.decide(
            session, pair, expert, "a", strength=2, seen=case.seen, note="clear", first=("b", 1)
        )
        rows = session.scalars(select(Adjudication).order_by(Adjudication.id)).all()
        first, final = (Verdict.B, Verdict.A) if case.placement > 0 else (Verdict.A, Verdict.B)
        assert [row.verdict for row in rows] == [first, final]
        (stands,) = adjudication.decisions(session)
        assert (stands.verdict, stands.by, stands.judgments) == (final, "eve", 2)
        assert audit.entries(session)[0].act == "adjudicate"
        with pytest.raises(Refused, match="decided meanwhile"):
            adjudication.decide(session, pair, expert, "b", seen=case.seen)
    assert _waiting(make) == []


def test_a_new_judgment_brings_a_decided_pair_back(make: Make) -> None:
    pair, ann, bob, cara = _asked(make, names=("ann", "bob", "cara"))
    _judge(make, ann, "a")
    _judge(make, bob, "b")
    expert = _admin(make, "eve")
    with make.begin() as session:
        seen = adjudication.case(session, pair, expert).seen
        adjudication.decide(session, pair, expert, "tie", seen=seen)
        batches.set_overlap(session, session.get_one(Comparison, pair), 3)
    _judge(make, cara, "b")
    assert _waiting(make) == [pair]


def test_nobody_decides_a_pair_they_judged_while_another_admin_could(make: Make) -> None:
    pair, ann, bob = _asked(make)
    _judge(make, ann, "a")
    _judge(make, bob, "b")
    with make.begin() as session:
        people.set_role(session, "ann", "admin")
    with make() as session:
        alone = adjudication.next_case(session, ann, adjudication.waiting(session))
        assert alone is not None and alone.own
    _admin(make, "eve")
    with make() as session:
        assert adjudication.next_case(session, ann, adjudication.waiting(session)) is None
        with pytest.raises(Refused, match="another admin"):
            adjudication.case(session, pair, ann)


def test_the_audit_log_is_narrowed_by_actor_act_subject_and_time(make: Make) -> None:
    with make.begin() as session:
        audit.record(session, "Ada", "invite", "bob", role="evaluator")
        audit.record(session, "Bo", "invite", "50 % off")
        audit.record(session, "Ada", "set role", "bob", role="admin")
        assert [each.act for each in audit.entries(session)] == ["set role", "invite", "invite"]
        asked = audit.Asked(actor="Ada", act="invite")
        assert [each.subject for each in audit.entries(session, asked)] == ["bob"]
        assert audit.count(session, audit.Asked(subject="50 %")) == 1
        assert audit.count(session, audit.Asked(since=utcnow() + timedelta(minutes=1))) == 0
        assert audit.actors(session) == ["Ada", "Bo"]
        assert audit.acts(session) == ["invite", "set role"]
