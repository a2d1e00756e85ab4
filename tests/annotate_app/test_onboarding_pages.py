"""What comes before judging, on the pages: reading, practising, then the first pair.

The panel lives in a browser; here buttons of Streamlit's own stand in for it and send what it
would send, a forged answer included.
"""

import pytest
import streamlit as st
from sqlalchemy import func, select

from annotate_app import onboarding as asking
from annotate_app import panel
from annotate_app.panel.answers import Answer
from db import guidelines, onboarding, people, practice
from db.models import AuditEntry, Judgment, PracticeAnswer
from db.session import readers, sessions
from tests.annotate_app.test_pages import ledger, run, sign_in, words  # noqa: F401


@pytest.fixture(autouse=True)
def buttons_for_the_panel(monkeypatch):
    def show(*, token, on_answer, reasons=(), practice=False, **_):
        st.session_state["test-reasons"] = tuple(reasons)
        st.caption(f"panel: {'practice' if practice else 'pair' if token else 'empty'}")
        for act, verdict in (("judge", "a"), ("judge", "c"), ("skip", None)):

            def press(act=act, verdict=verdict):
                st.session_state["test-answer"] = Answer(f"{token}-{verdict}", token, act, verdict)
                on_answer()

            st.button(f"{act} {verdict}", on_click=press)

    for module in (panel, asking):
        monkeypatch.setattr(module, "answer_panel", show)
        monkeypatch.setattr(module, "given_answer", lambda _: st.session_state["test-answer"])


@pytest.fixture
def ann(sign_in):  # noqa: F811
    with sessions().begin() as session:
        guidelines.load_first(session)
        practice.load_first(session)
    return sign_in("Ann")


def ask(**wanted):
    with sessions().begin() as session:
        onboarding.require(session, actor="boss", **wanted)


def press(test, label):
    found = [each for each in test.button if each.label == label]
    assert found, f"{label!r} is not among {[each.label for each in test.button]}"
    found[0].click()
    test.run()
    assert not test.exception, test.exception
    return test


def labels(test):
    return [each.label for each in test.button]


def count(model):
    with readers()() as session:
        return session.scalar(select(func.count()).select_from(model))


def said(test):
    html = " ".join(each.proto.body for each in test.get("html"))
    return f"{words(test)} {html}"


READ = "I have read this and go by it"


def test_required_guidelines_come_first_and_the_pair_after_accepting(ann):
    ask(guidelines="required")
    test = run("label")
    assert READ in labels(test)
    assert "panel:" not in words(test)
    press(test, READ)
    assert "panel: pair" in words(test)
    with readers()() as session:
        assert guidelines.accepted(session, ann) == 1


def test_offered_guidelines_hold_nobody_up_and_can_be_put_away(ann):
    test = run("label")
    assert "panel: pair" in words(test)
    assert {"How to judge", "Practise first", "Not now"} <= set(labels(test))
    press(test, "Not now")
    assert "panel: pair" in words(test)
    assert "Not now" not in labels(test)


def test_a_version_published_meanwhile_is_shown_instead_of_accepted(ann):
    ask(guidelines="required")
    test = run("label")
    with sessions().begin() as session:
        guidelines.publish(session, "Be kind, and brief.", "boss")
    press(test, READ)
    assert "have just been renewed" in words(test)
    assert "Be kind, and brief." in said(test)
    with readers()() as session:
        assert guidelines.accepted(session, ann) is None
    press(test, READ)
    assert "panel: pair" in words(test)


def test_a_pair_in_hand_is_finished_before_a_new_version_is_read(ann):
    ask(guidelines="required")
    test = press(run("label"), READ)
    with sessions().begin() as session:
        guidelines.publish(session, "Be kind.", "boss")
    test.run()
    assert "panel: pair" in words(test), "nobody loses the pair that they are reading"
    press(test, "skip None")
    assert READ in labels(test)
    assert "What is new" in words(test)


def test_required_practice_is_answered_explained_and_followed_by_the_pair(ann):
    ask(practice="required")
    with readers()() as session:
        expected = [each.expected.value for each in practice.items(session)]
    test = run("label")
    for number, right in enumerate(expected, start=1):
        assert f"Practice {number} of {len(expected)}" in said(test)
        assert "panel: practice" in words(test)
        assert "Stop practising" not in labels(test)
        press(test, "judge a")
        assert ("That is how we see it too" in said(test)) is (right == "a")
        press(test, "Next")
    assert "That was practice" in said(test)
    press(test, "Judge the first pair")
    assert "panel: pair" in words(test)
    assert count(PracticeAnswer) == len(expected)
    assert count(Judgment) == 0


def test_a_reload_in_practice_goes_on_where_it_was(ann):
    ask(practice="required")
    press(run("label"), "judge a")
    assert "Practice 2 of" in said(run("label"))


def test_a_forged_or_repeated_practice_answer_is_told_and_never_kept(ann):
    ask(practice="required")
    test = press(run("label"), "judge c")
    assert count(PracticeAnswer) == 0
    assert "not a verdict" in test.session_state["pl-practice-status"].words
    press(test, "judge a")
    stale = test.session_state["test-answer"]
    assert stale.token.startswith("practice-")
    press(test, "judge a")  # the pair is not on screen any more
    assert count(PracticeAnswer) == 1
    press(test, "Next")
    press(test, "skip None")
    assert "nothing to skip" in test.session_state["pl-practice-status"].words
    assert "Practice 2 of" in said(test)


def test_offered_practice_can_be_left_at_any_time(ann):
    test = press(run("label"), "Practise first")
    assert "Practice 1 of" in said(test)
    press(test, "Stop practising")
    assert "panel: pair" in words(test)


def test_an_admin_publishes_a_version_and_everybody_is_asked_again(ann, sign_in):  # noqa: F811
    with sessions().begin() as session:
        guidelines.accept(session, ann, 1)
    sign_in("Bo", "admin")
    test = run("guidelines")
    test.text_area[0].set_value("Be kind.\n\nBe brief.").run()
    press(test, "Publish")
    assert "Version 2 is published" in words(test)
    test.selectbox[0].set_value("required").run()
    assert not test.exception
    with readers()() as session:
        assert onboarding.asked(session).guidelines == "required"
        assert onboarding.step(session, ann).must_read
        acts = set(session.scalars(select(AuditEntry.act)))
    assert {"guidelines publish", "onboarding"} <= acts
    press(test, "Publish")
    assert "exactly this" in words(test)


def test_the_guidelines_page_shows_what_changed_and_lets_one_practise_again(ann, monkeypatch):
    with sessions().begin() as session:
        guidelines.accept(session, ann, 1)
        guidelines.publish(session, "Be kind.", "boss")
        for item in practice.items(session):
            practice.answer(session, ann, item.id, "a")
    test = run("guidelines")
    assert test.expander[0].label == "What changed since version 1"
    assert "Write the next version" not in [each.label for each in test.expander]
    press(test, READ)
    assert READ not in labels(test)
    with readers()() as session:
        assert guidelines.accepted(session, ann) == 2
    gone = []
    monkeypatch.setattr(st, "switch_page", gone.append)
    press(test, "Practise")
    assert gone == ["app_pages/label.py"]
    assert test.session_state["pl-practice"] == 0, "from the first, however often it was answered"


def test_somebody_who_is_no_admin_any_more_publishes_nothing(ann, sign_in):  # noqa: F811
    sign_in("Bo", "admin")
    test = run("guidelines")
    test.text_area[0].set_value("Mine.").run()
    with sessions().begin() as session:
        people.set_role(session, "Bo", "evaluator")
    press(test, "Publish")
    assert "nothing was done" in words(test)
    with readers()() as session:
        assert guidelines.current(session).version == 1
