"""What comes before judging: guidelines in versions, practice, and who is asked for what."""

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from db import flags, guidelines, labeling, onboarding, people, practice
from db.errors import LedgerError, NotFound, Refused
from db.models import AuditEntry, Batch, BatchAnnotator, Flag, Judgment, PracticeAnswer
from tests.db import filling


@pytest.fixture
def ann(make):
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=3)
        guidelines.load_first(session)
        practice.load_first(session)
        return filling.crowd(session, ["ann"])[0]


def test_a_version_is_published_once_and_never_changed(make, ann):
    with make.begin() as session:
        assert guidelines.load_first(session) is None
        assert guidelines.publish(session, "Be kind.", "boss").version == 2
        with pytest.raises(Refused, match="exactly this"):
            guidelines.publish(session, "Be kind.\n", "boss")
        with pytest.raises(Refused, match="empty"):
            guidelines.publish(session, "  ", "boss")
        assert [each.version for each in guidelines.versions(session)] == [2, 1]
    with pytest.raises(DatabaseError, match="append-only"), make.begin() as session:
        session.execute(text("UPDATE guideline SET text = 'x'"))


def test_a_judgment_stores_the_version_that_its_annotator_accepted(make, ann):
    with make.begin() as session:
        first = labeling.claim(session, ann)
        judged = labeling.judge(session, first.token, ann, "a", min_dwell=False)
        assert judged.guideline_version is None
        guidelines.accept(session, ann, 1)
        guidelines.accept(session, ann, 1)
        second = labeling.claim(session, ann)
        judged = labeling.judge(session, second.token, ann, "b", min_dwell=False)
        assert judged.guideline_version == 1
        guidelines.publish(session, "Be kind.", "boss")
        with pytest.raises(Refused, match="renewed"):
            guidelines.accept(session, ann, 1)
        with pytest.raises(NotFound):
            guidelines.accept(session, ann, 9)


def test_nothing_is_required_until_an_admin_says_so_and_never_of_analysts(make, ann):
    with make.begin() as session:
        assert not onboarding.step(session, ann).must
        onboarding.require(session, actor="boss", guidelines="required", practice="required")
        step = onboarding.step(session, ann)
        assert (step.must_read, step.must_practise) == (True, True)
        assert "read first" in labeling.why_nothing(session, ann)
        guidelines.accept(session, ann, 1)
        assert not onboarding.step(session, ann).must_read
        people.set_role(session, "ann", "analyst")
        assert not onboarding.step(session, ann).must
        assert "onboarding" in set(session.scalars(select(AuditEntry.act)))
        with pytest.raises(Refused):
            onboarding.require(session, actor="boss", practice="sometimes")


def test_somebody_marked_ready_is_not_held_up(make, ann):
    with make.begin() as session:
        onboarding.require(session, actor="boss", guidelines="required", practice="required")
        onboarding.mark_ready(session, ann, actor="boss")
        assert not onboarding.step(session, ann).must
        assert guidelines.accepted(session, ann) is None


def test_practice_tells_right_from_wrong_and_is_never_a_judgment(make, ann):
    with make.begin() as session:
        onboarding.require(session, actor="boss", practice="required")
        for item in practice.items(session):
            assert onboarding.step(session, ann).must_practise
            wrong = "tie" if item.expected.value != "tie" else "a"
            assert not practice.answer(session, ann, item.id, wrong).right
            assert practice.answer(session, ann, item.id, item.expected).right
        assert not onboarding.step(session, ann).must
        assert session.scalar(select(func.count()).select_from(Judgment)) == 0
        assert session.scalar(select(func.count()).select_from(PracticeAnswer)) == 10


def test_a_bad_practice_file_names_the_pair_and_the_field(make, ann, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("- {key: one, prompt: hi, response_a: x, response_b: y, expected: c}\n")
    with make.begin() as session, pytest.raises(LedgerError, match="pair 1: field explanation"):
        practice.load(session, file)
    file.write_text(
        "- {key: one, prompt: hi, response_a: x, response_b: y, expected: a, explanation: so}\n"
    )
    with make.begin() as session:
        assert practice.load(session, file) == 1
        assert [item.key for item in practice.items(session)] == ["one"]


def test_a_flag_is_kept_once_with_a_judgment_and_with_a_skip(make, ann):
    with make.begin() as session:
        shown = labeling.claim(session, ann)
        made = labeling.judge(session, shown.token, ann, "a", flag="unsafe", min_dwell=False)
        for _ in range(2):
            flags.raise_flag(session, shown.comparison_id, ann, "broken", "cut off")
        stored = session.execute(select(Flag.kind, Flag.judgment_id).order_by(Flag.id)).all()
        assert [tuple(row) for row in stored] == [("unsafe", made.id), ("broken", None)]


def test_the_page_says_who_the_open_pairs_are_for_and_that_somebody_is_paused(make, ann):
    with make.begin() as session:
        session.scalars(select(Batch)).one().named_only = True
        session.flush()
        assert "set aside for certain people" in labeling.why_nothing(session, ann)
        session.add(
            BatchAnnotator(batch_id=session.scalars(select(Batch.id)).one(), annotator_id=ann)
        )
        session.flush()
        assert "reload" in labeling.why_nothing(session, ann)
        person = people.person(session, "ann")
        person.paused_at, person.paused_reason = person.created_at, "a check"
        session.flush()
        assert "(a check)" in labeling.why_nothing(session, ann)
