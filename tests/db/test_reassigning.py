"""Held pairs are taken back or given to somebody by name; seats stay right, and it is audited."""

from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import audit, doctor, gold, labeling, people, reassigning
from db.clock import utcnow
from db.errors import LeaseLost, NotFound, Refused
from db.models import Comparison
from personaloop import personaloop
from tests.db import filling

Make = sessionmaker[Session]


@pytest.fixture
def desk(make: Make) -> dict[str, int]:
    """Three pairs of overlap 1, of which Ann holds the first; ids of everybody by name."""
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=3)
        ids = dict(
            zip(("Ann", "Bo", "Cy"), filling.crowd(session, ["Ann", "Bo", "Cy"]), strict=True)
        )
        assert labeling.claim(session, ids["Ann"]) is not None
    return ids


def _acts(session: Session) -> list[tuple[str, str]]:
    return [(each.act, each.subject) for each in audit.entries(session)]


def test_a_held_pair_goes_back_to_the_queue_and_the_page_is_told(make: Make, desk, url) -> None:
    with make.begin() as session:
        shown = labeling.claim(session, desk["Ann"])
        assert shown is not None
        assert [h.annotator for h in reassigning.held(session, 1)] == ["Ann"]
        assert reassigning.take_back(session, "batch", actor="Ada") == ["Ann"]
        with pytest.raises(LeaseLost):
            labeling.renew(session, shown.token, desk["Ann"])
        assert ("take back", "Ann") in _acts(session)
        taken = labeling.claim(session, desk["Bo"])
        assert taken is not None and taken.comparison_id == shown.comparison_id
        with pytest.raises(Refused, match="nothing of batch 'batch' is held by Cy"):
            reassigning.take_back(session, "batch", actor="Ada", annotator="Cy")
    assert [each.text for each in doctor.examine(url) if not each.ok] == []


def test_a_pair_in_hand_moves_to_somebody_by_name_and_is_their_next(make: Make, desk, url) -> None:
    with make.begin() as session:
        shown = labeling.claim(session, desk["Ann"])
        assert shown is not None
        reassigning.give(session, shown.comparison_id, "Bo", actor="Ada")
        told = reassigning.held(session, 1)
        assert [(each.annotator, each.opened) for each in told] == [("Bo", False)]
        assert ("reassign", "Bo") in _acts(session)
        with pytest.raises(LeaseLost, match="somebody else"):
            labeling.judge(session, shown.token, desk["Ann"], "a", min_dwell=False)
        other = labeling.claim(session, desk["Ann"])
        assert other is not None and other.comparison_id != shown.comparison_id
        later = utcnow() + timedelta(hours=5)
        mine = labeling.claim(session, desk["Bo"], now=later)
        assert mine is not None and mine.comparison_id == shown.comparison_id
        assert mine.shown_at == later  # the time to read begins when it is opened
        labeling.renew(session, mine.token, desk["Bo"], now=later + timedelta(minutes=1))
        labeling.judge(session, mine.token, desk["Bo"], "b", min_dwell=False)
    assert [each.text for each in doctor.examine(url) if not each.ok] == []


def test_a_pair_that_was_given_and_not_opened_goes_back_in_time(make: Make, desk) -> None:
    with make.begin() as session:
        reassigning.give(session, 3, "Bo", actor="Ada", kept=timedelta(hours=1))
        for _ in range(2):  # Ann holds pair 1; of the rest only pair 2 is free
            filling.judge_next(session, desk["Cy"])
        assert labeling.claim(session, desk["Cy"]) is None
        later = utcnow() + timedelta(hours=2)
        again = labeling.claim(session, desk["Cy"], now=later)
        assert again is not None


def test_a_pair_is_not_given_where_the_queue_would_not(make: Make, desk) -> None:
    def refused(words: str, comparison: int, to: str, **named: str) -> None:
        with make.begin() as session, pytest.raises(Refused, match=words):
            reassigning.give(session, comparison, to, actor="Ada", **named)

    refused("has another pair before them", 2, "Ann")
    refused("holds comparison 1 already", 1, "Ann")
    refused("Cy does not hold comparison 1", 1, "Bo", from_="Cy")
    with make.begin() as session:
        people.set_active(session, "Cy", False)
        made = gold.add(session, 3, "a", actor="Ada").id
        filling.judge_next(session, desk["Bo"])
        judged = session.scalar(select(Comparison.id).where(Comparison.seats == 0).offset(1))
        assert judged is not None
    refused("cannot sign in", 3, "Cy")
    refused("is gold", made, "Bo")
    refused("judged, skipped", judged, "Bo")
    with make.begin() as session, pytest.raises(NotFound):
        reassigning.give(session, 99, "Bo", actor="Ada")


def test_the_rest_of_a_batch_goes_to_the_people_named_and_back_to_everybody(
    make: Make, desk
) -> None:
    with make.begin() as session:
        assert reassigning.give_rest(session, "batch", ["Bo"], actor="Ada") == ["Ann"]
        assert reassigning.named_for(session, 1) == ["Bo"]
        assert labeling.claim(session, desk["Ann"]) is None
        assert labeling.claim(session, desk["Bo"]) is not None
        with pytest.raises(Refused, match="named people"):
            reassigning.give(session, 3, "Cy", actor="Ada")
        assert reassigning.give_rest(session, "batch", [], actor="Ada") == []
        assert reassigning.named_for(session, 1) == []
        assert labeling.claim(session, desk["Ann"]) is not None
        assert [act for act, _ in _acts(session)].count("reassign batch") == 2


def test_the_commands_say_who_holds_what_and_move_it(make: Make, desk, url: str) -> None:
    def run(*arguments: str):
        given = ["batches", *arguments, "--database-url", url]
        return CliRunner().invoke(personaloop, given)

    assert "Ann" in run("held", "batch").output
    assert run("reassign", "batch").exit_code == 2
    done = run("reassign", "batch", "--comparison", "1", "--to", "Bo")
    assert "comparison 1 waits for Bo, 24 hours at most" in done.output, done.exception
    assert "given, not opened yet" in run("held", "batch").output
    assert "taken back from Bo" in run("take-back", "batch", "--from", "Bo").output
    assert "nothing of batch is held now" in run("held", "batch").output
    assert "batch is for Ann, Bo" in run("reassign", "batch", "--to", "Ann", "--to", "Bo").output
    assert "batch is for everybody" in run("reassign", "batch", "--everybody").output
