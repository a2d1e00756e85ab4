"""The label page's acts on a real ledger, without a browser."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from annotate_app import labeling as page
from annotate_app.panel.answers import TAGS, Answer, read_answer, token_in
from db import people
from db.clock import utcnow
from db.errors import Busy
from db.labeling import MyDay, my_day, my_history
from db.models import Assignment, Flag, Judgment, Persona, Repeat
from db.session import close_database, readers, sessions
from tests.e2e.serving import seed


@pytest.fixture
def annotator(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    seed(url, pairs=4)
    with sessions().begin() as session:
        made = people.put_annotator(session, "Ada").id
    yield made
    close_database(url)


def wait_over(token):
    """Put the clock of one assignment back, as if the person had read."""
    with sessions().begin() as session:
        held = session.scalar(select(Assignment).where(Assignment.token == token))
        held.shown_at = utcnow() - timedelta(seconds=10)


def count():
    with readers()() as session:
        return session.scalar(select(func.count()).select_from(Judgment))


def answer(token, verdict="a", strength=1, act="judge", **details):
    return Answer("id-1", token, act, verdict, strength, details=details)


def test_an_answer_is_saved_once_and_a_repeat_is_told_kindly(annotator):
    shown = page.claim_pair(annotator)
    wait_over(shown.token)
    given = answer(shown.token, comment="clear", tags=["Clearer"])
    first = page.handle_answer(given, annotator, on_screen=shown.token)
    again = page.handle_answer(given, annotator, on_screen=shown.token)
    assert (first.kind, first.words) == ("saved", "Saved")
    assert again.kind == "note"
    assert "already judged" in again.words
    assert count() == 1


def test_an_answer_that_nobody_can_have_read_is_refused(annotator):
    shown = page.claim_pair(annotator)
    status = page.handle_answer(answer(shown.token), annotator, on_screen=shown.token)
    assert status.kind == "note"
    assert "take a moment" in status.words
    assert page.wait_ms(shown) > 0
    assert count() == 0


def test_somebody_elses_token_does_nothing(annotator):
    with sessions().begin() as session:
        other = people.put_annotator(session, "Bo").id
    shown = page.claim_pair(annotator)
    wait_over(shown.token)
    status = page.handle_answer(answer(shown.token), other, on_screen=shown.token)
    assert status.kind == "note"
    assert page.handle_answer(answer("made-up"), other, on_screen="").kind == "note"
    assert count() == 0


def test_undo_counts_only_for_the_pair_on_screen(annotator):
    shown = page.claim_pair(annotator)
    wait_over(shown.token)
    page.handle_answer(answer(shown.token), annotator, on_screen=shown.token)
    second = page.claim_pair(annotator)
    undo = answer(second.token, None, None, "undo")
    assert page.handle_answer(undo, annotator, on_screen=second.token).kind == "saved"
    back = page.claim_pair(annotator)
    assert (back.response_a, back.revising) == (shown.response_a, True)
    late = page.handle_answer(undo, annotator, on_screen=back.token)
    assert late.kind == "note"
    with readers()() as session:
        assert my_day(session, annotator).judged_today == 0


def test_a_busy_or_broken_database_keeps_the_answer_for_another_try(annotator, monkeypatch):
    shown = page.claim_pair(annotator)
    for error in (Busy("busy"), OperationalError("x", {}, Exception("disk full"))):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(page, "transact", fail)
        status = page.handle_answer(answer(shown.token), annotator, on_screen=shown.token)
        assert status.kind == "retry"
        assert status.words.startswith("Not saved yet")


def test_a_lost_lease_is_noticed_and_a_live_one_kept(annotator):
    shown = page.claim_pair(annotator)
    assert page.keep_pair(shown.token, annotator)
    page.handle_answer(answer(shown.token, None, None, "skip"), annotator, on_screen=shown.token)
    assert not page.keep_pair(shown.token, annotator)


def test_a_pair_kept_for_two_hours_is_let_go_with_words_and_none_is_taken_instead(annotator):
    shown = page.claim_pair(annotator)
    assert page.away_words(shown.token, annotator) is None
    with sessions().begin() as session:
        held = session.scalar(select(Assignment).where(Assignment.token == shown.token))
        held.leased_at = utcnow() - timedelta(hours=2, seconds=1)
    assert "You were away" in page.away_words(shown.token, annotator)
    with readers()() as session:
        assert session.scalar(select(func.count()).select_from(Assignment)) == 1


def test_an_answer_in_the_history_reads_as_its_button(annotator):
    for verdict, strength, words in [
        ("a", 2, "A is much better"), ("b", 1, "B is better"), ("tie", None, "Tie"),
        ("both_bad", None, "Both bad"),
    ]:  # fmt: skip
        shown = page.claim_pair(annotator)
        wait_over(shown.token)
        page.handle_answer(answer(shown.token, verdict, strength), annotator, on_screen=shown.token)
        with readers()() as session:
            assert page.verdict_words(my_history(session, annotator, 1)[0]) == words


def test_progress_is_told_in_words():
    assert page.progress_words(MyDay(12, 3.4, 90, 67), holding=True) == "12 of 80 · 3 min today"
    assert page.progress_words(MyDay(12, 3.4, 90, 1000), holding=True).startswith("12 of 1,000+")
    assert page.days_words(MyDay(1, 0.2, 9, 0)) == "You judged 1 pair today in 1 minute; 9 in all."


def test_the_first_pairs_are_announced_only_while_they_are_being_written(annotator, tmp_path):
    assert page.first_pairs_words() == ""
    note = tmp_path / page.FIRST_PAIRS
    note.write_text(json.dumps({"state": "writing", "since": utcnow().isoformat()}))
    assert "being written" in page.first_pairs_words()
    assert page.first_pairs_words(utcnow() + timedelta(hours=1)) == ""
    note.write_text("not json")
    assert page.first_pairs_words() == ""


@pytest.mark.parametrize(
    "value", [None, 3, "x", [], {}, {"act": "drop"}, {"act": ["judge"]}, {"act": {"a": 1}}]
)
def test_what_is_not_an_answer_is_not_read_as_one(value):
    assert read_answer(value) is None


def test_an_answer_is_read_with_only_what_may_be_in_it():
    read = read_answer(
        {
            "act": "judge", "id": "i" * 500, "token": "t", "verdict": "a", "strength": 7,
            "details": {
                "tags": ["Clearer", "<script>"], "helpful": "yes", "safe": "maybe", "flag": "no",
                "comment": "  " + "x" * 9000, "source": "elsewhere", "min_dwell": False,
            },
        }
    )  # fmt: skip
    assert read is not None
    assert read.strength is None
    assert len(read.id) == 64
    assert read.details == {"tags": ["Clearer"], "helpful": "yes", "comment": "x" * 4000}


def own_reasons(*reasons):
    with sessions().begin() as session:
        session.scalars(select(Persona)).one().front_matter = {"reasons": list(reasons)}


def test_a_personas_own_reasons_are_the_only_ones_that_are_kept(annotator):
    own_reasons("Courteous", "Too stiff", 7, "")
    shown = page.claim_pair(annotator)
    wait_over(shown.token)
    assert page.reasons_at(shown.token) == ("Courteous", "Too stiff")
    assert page.reasons_at("made-up") == TAGS
    sent = {
        "act": "judge", "id": "1", "token": shown.token, "verdict": "a",
        "details": {"tags": ["Too stiff", "Clearer", "<b>"]},
    }  # fmt: skip
    given = read_answer(sent, page.reasons_at(token_in(sent)))
    page.handle_answer(given, annotator, on_screen=shown.token)
    with readers()() as session:
        assert session.scalars(select(Judgment)).one().tags == ["Too stiff"]


def test_what_is_flagged_or_written_with_a_skip_is_kept_for_the_admins(annotator):
    for details, kept in (
        ({"flag": "personal data", "comment": "a phone number"}, ("personal data",)),
        ({"comment": "cut off"}, ("personal data", "comment")),
        ({}, ("personal data", "comment")),
    ):
        shown = page.claim_pair(annotator)
        given = answer(shown.token, None, None, "skip", **details)
        for _ in range(2):  # sent again: noted once
            status = page.handle_answer(given, annotator, on_screen=shown.token)
            assert (status.kind, "note is kept" in status.words) == ("saved", bool(details))
        with readers()() as session:
            rows = session.scalars(select(Flag).order_by(Flag.id)).all()
            assert tuple(row.kind for row in rows) == kept
            assert all(row.judgment_id is None for row in rows)
    assert rows[0].note == "a phone number"


def test_a_note_with_somebody_elses_or_an_unknown_pair_is_dropped_with_a_kind_word(annotator):
    with sessions().begin() as session:
        other = people.put_annotator(session, "Bo").id
    shown = page.claim_pair(annotator)
    for token in (shown.token, "made-up"):
        given = answer(token, None, None, "skip", flag="broken")
        assert page.handle_answer(given, other, on_screen=token).kind == "note"
    with readers()() as session:
        assert session.scalar(select(func.count()).select_from(Flag)) == 0


def test_a_repeats_token_stands_for_its_pair_in_reasons_and_notes(annotator):
    own_reasons("Courteous")
    shown = page.claim_pair(annotator)
    wait_over(shown.token)
    page.handle_answer(answer(shown.token), annotator, on_screen=shown.token)
    given = answer("again", None, None, "skip", flag="broken", comment="twice")
    with sessions().begin() as session:
        first = session.scalars(select(Judgment)).one()
        pair = first.comparison_id
        session.add(
            Repeat(
                token="again", annotator_id=annotator, comparison_id=pair,
                judgment_id=first.id, placement=-first.placement,
            )
        )  # fmt: skip
        session.flush()
        assert page.keep_note(session, given, annotator)
    assert page.reasons_at("again") == ("Courteous",)
    with readers()() as session:
        assert session.scalars(select(Flag)).one().comparison_id == pair
