"""Pages around labeling, run in process: who sees what, and what they say when empty."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from annotate_app import labeling as acts
from annotate_app import session as browser
from annotate_app.panel.answers import Answer
from db import people
from db.clock import utcnow
from db.models import Assignment
from db.session import close_database, sessions
from tests.e2e.serving import seed

PAGES = Path(browser.__file__).parent / "app_pages"


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    seed(url, pairs=2)
    yield url
    close_database(url)


@pytest.fixture
def sign_in(ledger, monkeypatch):
    def enter(name, role="evaluator"):
        with sessions().begin() as session:
            login = people.redeem(session, people.invite(session, name, role))
            annotator = people.who(session, login).id
        monkeypatch.setattr(browser, "login_token", lambda: login)
        return annotator

    return enter


def run(page):
    test = AppTest.from_file(str(PAGES / f"{page}.py"), default_timeout=30).run()
    assert not test.exception, test.exception
    return test


def words(test):
    return " ".join(
        [each.value for kind in (test.title, test.markdown, test.info, test.caption, test.code)
         for each in kind]
    )  # fmt: skip


@pytest.mark.parametrize("page", ["my_history", "help", "guidelines", "account"])
def test_pages_stop_for_somebody_who_is_not_signed_in(ledger, monkeypatch, page):
    monkeypatch.setattr(browser, "login_token", lambda: "a-made-up-cookie")
    test = run(page)
    assert "You are signed out" in words(test)
    assert not test.button


def test_the_door_says_how_to_get_a_link(ledger):
    assert "personaloop users invite" in words(run("sign_in"))


@pytest.mark.parametrize("role", ["evaluator", "analyst", "admin"])
def test_the_account_page_says_what_a_role_may_do(sign_in, role):
    sign_in("Ada", role)
    test = run("account")
    assert test.title[0].value == "Ada"
    assert "You judge replies" in words(test)


def test_an_empty_history_says_what_will_be_there(sign_in):
    sign_in("Ada")
    assert "You have not judged a pair yet" in words(run("my_history"))


def test_the_history_lists_answers_and_opens_one_for_change(sign_in):
    annotator = sign_in("Ada")
    shown = acts.claim_pair(annotator)
    with sessions().begin() as session:
        held = session.scalar(select(Assignment).where(Assignment.token == shown.token))
        held.shown_at = utcnow() - timedelta(seconds=9)
    given = Answer("1", shown.token, "judge", "b", 2, details={"comment": "![x](http://e/x.png)"})
    acts.handle_answer(given, annotator, on_screen=shown.token)
    test = run("my_history")
    assert "You judged 1 pair today" in words(test)
    assert "**B is much better**" in test.expander[0].label
    assert "![" not in words(test)
    change = next(each for each in test.button if each.label == "Change this answer")
    change.click()
    test.run()
    assert acts.claim_pair(annotator).revising


def test_a_role_includes_those_before_it(sign_in):
    sign_in("Bo", "analyst")
    person = browser.signed_in()
    assert [person.may(role) for role in browser.ROLES] == [True, True, False]


def test_a_revoked_cookie_opens_nothing(sign_in):
    sign_in("Cy")
    assert browser.signed_in().name == "Cy"
    with sessions().begin() as session:
        people.set_active(session, "Cy", False)
    assert browser.signed_in() is None
