"""Signing in and out: the routes that hold the cookie, the pages around them, a busy database."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

import db.session
from annotate_app import account, server
from annotate_app import session as browser
from annotate_app.labeling import claim_pair
from annotate_app.providers import providers_of
from db import identities, logins, passwords, people
from db.errors import Busy, Refused, TooManyTries, WrongPassword
from db.identities import claims_of
from db.models import Annotator, AuditEntry, Comparison, Login
from db.session import close_database, sessions
from tests.e2e.serving import seed

PAGES = Path(browser.__file__).parent / "app_pages"
GOOD = "four plain green words"
ISSUER = "https://id.example.org"
HOME = {"origin": "http://testserver"}


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    seed(url, pairs=2, overlap=1)
    yield url
    close_database(url)


@pytest.fixture
def ann(ledger):
    """An account with a password; its id."""
    with sessions().begin() as session:
        made = people.put_annotator(session, "Ann")
        passwords.put(session, made.id, passwords.hashed("Ann", GOOD))
        return made.id


@pytest.fixture
def client(ledger):
    app = Starlette(
        routes=[
            Route("/invite/{token}", server.invite),
            Route("/sign-in", server.sign_in, methods=["POST"]),
            Route("/sign-out", server.sign_out),
        ]
    )
    return TestClient(app, follow_redirects=False)


@pytest.fixture
def lock(ledger, monkeypatch):
    """Somebody else writes for as long as ``with lock():`` lasts; nobody waits long for them."""
    monkeypatch.setattr(db.session, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(db.session, "BUSY_ATTEMPTS", 1)
    close_database(ledger)

    class Held:
        def __enter__(self):
            self.other = sqlite3.connect(ledger.removeprefix("sqlite:///"), isolation_level=None)
            self.other.execute("BEGIN IMMEDIATE")

        def __exit__(self, *_):
            self.other.execute("ROLLBACK")
            self.other.close()

    return Held


def sign_in(client, name="Ann", password=GOOD, headers=HOME):
    return client.post(
        "/sign-in", data={"username": name, "password": password}, headers=dict(headers)
    )


def enter(monkeypatch, name="Ann"):
    with sessions().begin() as session:
        login = people.redeem(session, people.invite(session, name))
    monkeypatch.setattr(browser, "login_token", lambda: login)
    return browser.signed_in()


def run(page):
    test = AppTest.from_file(str(PAGES / f"{page}.py"), default_timeout=30).run()
    assert not test.exception, test.exception
    return test


def words(test):
    kinds = (
        test.title, test.subheader, test.markdown, test.info, test.caption, test.code,
        test.success, test.error, test.warning,
    )  # fmt: skip
    return " ".join(each.value for kind in kinds for each in kind).translate(
        {0x5C: None, 0x2060: None}
    )


def test_name_and_password_give_a_cookie_that_scripts_cannot_read(client, ann):
    answer = sign_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=lax" in cookie.lower()
    assert answer.headers["cache-control"] == "no-store"
    with sessions()() as session:
        assert people.who(session, client.cookies[server.COOKIE]).id == ann


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(client, ann):
    answers = [sign_in(client, "Ann", "wrong, all of it"), sign_in(client, "Nobody")]
    assert {answer.headers["location"] for answer in answers} == {"/?said=wrong"}
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert answers[0].text == answers[1].text


def test_a_form_from_another_site_signs_nobody_in(client, ann):
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {},
    ):
        answer = sign_in(client, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    assert sign_in(client, headers={"sec-fetch-site": "same-origin"}).status_code == 303


def test_an_enormous_form_is_not_read(client, ann):
    answer = client.post("/sign-in", data={"username": "Ann", "password": "x" * 9000}, headers=HOME)
    assert answer.status_code == 413


def test_guessing_waits_even_with_the_right_password_and_a_restart_forgets_nothing(
    client, ann, ledger
):
    for _ in range(5):
        assert sign_in(client, password="not this one").headers["location"] == "/?said=wrong"
    close_database(ledger)  # as a new process would find it
    again = TestClient(client.app, follow_redirects=False)
    for name in ("Ann", "Ann", " ann "):
        assert sign_in(again, name).headers["location"].startswith("/?said=wait&seconds=")
    for _ in range(5):
        sign_in(again, "Nobody")
    assert sign_in(again, "Nobody").headers["location"].startswith("/?said=wait&seconds=")


def test_somebody_switched_off_is_told_only_with_the_right_password(client, ann):
    with sessions().begin() as session:
        people.set_active(session, "Ann", False)
    assert sign_in(client, password="wrong all over").headers["location"] == "/?said=wrong"
    answer = sign_in(client)
    assert answer.headers["location"] == "/?said=off"
    assert "set-cookie" not in answer.headers


def test_signing_out_ends_the_login_and_gives_the_pair_back(client, ann):
    sign_in(client)
    token = client.cookies[server.COOKIE]
    assert claim_pair(ann) is not None
    with sessions()() as session:
        assert 0 in session.scalars(select(Comparison.seats)).all()
    answer = client.get("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    with sessions()() as session:
        assert people.who(session, token) is None
        assert set(session.scalars(select(Comparison.seats))) == {1}
    assert server.COOKIE not in client.cookies


def test_signing_out_goes_on_to_the_provider_where_one_signed_in(client):
    client.cookies.set(server.PROVIDERS_COOKIE, "signed")
    assert client.get("/sign-out").headers["location"] == "/auth/logout"


def test_a_busy_database_keeps_the_login_and_the_link_and_says_so(client, ann, lock):
    with sessions().begin() as session:
        link = people.invite(session, "Bob")
    sign_in(client)
    token = client.cookies[server.COOKIE]
    with lock():
        answer = client.get("/sign-out")
        assert (answer.status_code, server.COOKIE in client.cookies) == (503, True)
        assert "You are still signed in" in answer.text and "try to sign out again" in answer.text
        invited = client.get(f"/invite/{link}")
        assert invited.status_code == 503 and "Your link was not used up" in invited.text
        assert sign_in(client).headers["location"] == "/?said=busy"
    with db.session.readers()() as session:
        assert people.who(session, token).id == ann
    assert client.get("/sign-out").status_code == 303
    assert client.get(f"/invite/{link}").headers["location"] == "/"


def test_a_page_that_waits_for_pairs_stays_calm_while_the_database_is_busy(
    ledger, lock, monkeypatch
):
    enter(monkeypatch)
    with lock():
        test = run("label")
        assert "Many people are saving at this moment" in words(test)
        test.run()
        assert not test.exception
    test.run()
    assert not test.exception
    assert "Many people" not in words(test)


def test_a_page_that_waits_says_why_when_its_person_may_not_claim(ledger, monkeypatch):
    from annotate_app import labeling

    enter(monkeypatch)
    answers = iter([None, Refused("this is paused"), Refused("this is paused")])

    def claim(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(labeling, "claim_pair", claim)
    assert "this is paused" in words(run("label"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"said": "wrong"}, "do not go together"),
        ({"said": "off"}, "switched off"),
        ({"said": "busy"}, "Many people are saving"),
        ({"said": "wait", "seconds": "40"}, "wait 40 seconds"),
        ({"said": "wait", "seconds": "899"}, "wait 15 minutes"),
        ({"said": "wait", "seconds": "<b>99999999"}, "wait 60 seconds"),
    ],
)
def test_the_door_says_what_happened(ledger, query, said):
    test = AppTest.from_file(str(PAGES / "sign_in.py"), default_timeout=30)
    for key, value in query.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception
    assert said in test.warning[0].value


def test_the_door_offers_no_provider_where_none_is_configured(ledger):
    test = run("sign_in")
    assert not test.button and not test.warning


def test_the_door_tells_a_stranger_whom_to_ask(ledger, monkeypatch):
    said = claims_of({"iss": ISSUER, "sub": "s-1"})
    monkeypatch.setattr(browser, "provider_says", lambda: said)
    test = run("sign_in")
    assert "Ask whoever runs PersonaLoop" in words(test)
    assert any(f"--issuer {ISSUER} --subject s-1" in block.value for block in test.code)
    assert [button.label for button in test.button] == ["Sign out there"]


def test_somebody_invited_sets_a_password_and_later_needs_the_old_one(ledger, monkeypatch, client):
    me = enter(monkeypatch)
    test = run("account")
    assert len(test.text_input) == 2 and "Set a password" in words(test)
    for text, again, said in (
        ("short", "short", "at least 10"),
        (GOOD, GOOD + "!", "differ"),
        (GOOD, GOOD, "Your password is set"),
    ):
        test.text_input[0].set_value(text)
        test.text_input[1].set_value(again)
        next(b for b in test.button if "password" in b.label).click().run()
        assert not test.exception
        assert said in words(test)
    assert GOOD not in str(test.session_state), "what was typed does not stay"
    assert sign_in(client).headers["location"] == "/"
    with sessions()() as session:
        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.actor, entry.act, entry.subject) == ("Ann", "set password", "Ann")
    monkeypatch.setattr(passwords, "LINK_PROVES", -passwords.LINK_PROVES)
    assert len(run("account").text_input) == 3
    with pytest.raises(WrongPassword):
        account.set_password(me, GOOD + " more", GOOD + " more", "not the old one")
    assert account.set_password(me, GOOD + " more", GOOD + " more", GOOD) == 1
    assert browser.signed_in() is not None
    with pytest.raises(TooManyTries):
        for _ in range(9):
            with pytest.raises(WrongPassword):
                account.set_password(me, GOOD, GOOD, "not the old one")


def test_somebody_ends_other_browsers_on_the_account_page(ledger, monkeypatch):
    with sessions().begin() as session:
        others = [people.redeem(session, people.invite(session, "Ann")) for _ in range(3)]
    enter(monkeypatch)
    test = run("account")
    assert words(test).count("Another browser") == 3 and words(test).count("This browser") == 1
    next(b for b in test.button if b.label == "Sign out").click().run()
    assert words(test).count("Another browser") == 2
    next(b for b in test.button if b.label == "Sign out everywhere else").click().run()
    assert "2 other browsers were signed out" in words(test)
    with sessions()() as session:
        assert not any(people.who(session, token) for token in others)
    assert browser.signed_in() is not None


def test_a_button_of_an_account_page_left_open_does_nothing_after_signing_out(ledger, monkeypatch):
    with sessions().begin() as session:
        other = people.redeem(session, people.invite(session, "Ann"))
    me = enter(monkeypatch)
    test = run("account")
    with sessions().begin() as session:
        people.sign_out(session, me.login)
    next(b for b in test.button if b.label == "Sign out").click().run()
    with sessions()() as session:
        assert people.who(session, other) is not None


class TestProvider:
    """What an OpenID provider said becomes a login of ours, or not."""

    @pytest.fixture
    def says(self, ledger, monkeypatch):
        def say(subject="s-1", once="n-1", **more):
            said = claims_of({"iss": ISSUER, "sub": subject, "nonce": once, **more})
            monkeypatch.setattr(browser, "provider_says", lambda: said)
            return said

        monkeypatch.setattr(browser, "login_token", lambda: None)
        return say

    def link(self, name="Ann", **which):
        with sessions().begin() as session:
            people.put_annotator(session, name)
            identities.link(session, name, ISSUER, **(which or {"subject": "s-1"}))

    def test_a_linked_identity_is_its_person_and_one_of_the_same_name_is_nobody(self, says):
        self.link()
        says()
        assert browser.signed_in().name == "Ann"
        says("s-2", name="Ann", email="ann@example.org")
        assert browser.signed_in() is None

    def test_the_role_is_ours_on_every_rerun_and_revoking_works_at_once(self, says):
        self.link()
        says()
        assert browser.signed_in().role == "evaluator"
        with sessions().begin() as session:
            people.set_role(session, "Ann", "analyst")
        assert browser.signed_in().role == "analyst"
        with sessions().begin() as session:
            identities.unlink(session, "Ann")
        assert browser.signed_in() is None

    def test_signing_out_holds_although_the_providers_cookie_is_still_there(self, says):
        self.link()
        says()
        me = browser.signed_in()
        account.end_this_login(me)
        assert browser.signed_in() is None
        says(once="n-2")
        assert browser.signed_in().name == "Ann"
        with sessions()() as session:
            assert len(session.scalars(select(Login)).all()) == 2

    def test_the_door_knows_a_stranger_from_somebody_signed_out_or_switched_off(
        self, says, monkeypatch
    ):
        monkeypatch.setattr(browser, "providers", lambda: {"default": "Example"})
        self.link()
        says()
        account.end_this_login(browser.signed_in())
        test = run("sign_in")
        assert [button.label for button in test.button] == ["Sign in with Example"]
        assert not test.warning and "not known" not in words(test)
        with sessions().begin() as session:
            people.set_active(session, "Ann", False)
        says(once="n-2")
        assert browser.signed_in() is None
        assert "switched off" in run("sign_in").warning[0].value
        says("s-2; rm -rf /")
        shown = [block.value for block in run("sign_in").code]
        assert any(text.endswith("--subject 's-2; rm -rf /'") for text in shown)

    def test_the_cookie_of_a_link_goes_before_what_the_provider_says(self, says, monkeypatch):
        self.link("Bob")
        says()
        assert enter(monkeypatch, "Ann").name == "Ann"

    def test_connecting_needs_a_press_and_is_written_down(self, says, monkeypatch):
        enter(monkeypatch, "Ann")
        says(email="ann@example.org", email_verified=True)
        assert browser.signed_in().name == "Ann"
        with sessions()() as session:
            assert not identities.identities(session, browser.signed_in().id)
        monkeypatch.setattr(browser, "providers", lambda: {"default": "Example"})
        test = run("account")
        assert "id.example.org" in words(test) and "ann@example.org" in words(test)
        next(b for b in test.button if "Connect" in b.label).click().run()
        assert "From now on it signs you in" in words(test)
        monkeypatch.setattr(browser, "login_token", lambda: None)
        assert browser.signed_in().name == "Ann"
        with sessions()() as session:
            assert "link" in session.scalars(select(AuditEntry.act)).all()

    def test_somebody_elses_identity_cannot_be_connected(self, says, monkeypatch):
        self.link("Bob")
        me = enter(monkeypatch, "Ann")
        with pytest.raises(Refused, match="somebody else"):
            account.connect(me, says())

    def test_a_busy_database_says_so_and_the_next_try_signs_in(self, says, lock):
        self.link()
        says()
        with lock(), pytest.raises(Busy):
            browser.signed_in()
        assert browser.signed_in().name == "Ann"


SHARED = {"redirect_uri": "http://x/oauth2callback", "cookie_secret": "s" * 32}
WHOLE = {
    "client_id": "i",
    "client_secret": "s",
    "server_metadata_url": "https://id.example.org/.well-known/openid-configuration",
}


@pytest.mark.parametrize(
    ("auth", "offered"),
    [
        ({}, {}),
        ({**SHARED, **WHOLE}, {"default": "id.example.org"}),
        ({**SHARED, **WHOLE, "label": "Example"}, {"default": "Example"}),
        ({**SHARED, "google": WHOLE}, {"google": "Google"}),
        ({**SHARED, "google": {**WHOLE, "label": "Work"}, "b": {"x": 1}}, {"google": "Work"}),
        ({**SHARED, "google": {"client_id": "i"}}, {}),
        ({**SHARED, "my_own": WHOLE}, {}),
        (WHOLE, {}),
        (SHARED, {}),
    ],
)
def test_only_a_provider_that_is_wholly_configured_is_offered(auth, offered):
    assert providers_of(auth) == offered


def test_an_admin_takes_a_waiting_link_back(ledger, monkeypatch):
    with sessions().begin() as session:
        people.invite(session, "Ada", "admin")
        token = people.invite(session, "Zoe")
    me = browser.Me(1, "Ada", browser.Role.ADMIN, browser.AnnotatorKind.HUMAN)
    monkeypatch.setattr(browser, "signed_in", lambda: me)
    test = run("people")
    assert any(each.label == "2 links not used yet" for each in test.expander)
    assert "comes back by a new link" not in words(test)
    buttons = [button for button in test.button if button.label == "Take back"]
    assert len(buttons) == 2
    buttons[1].click().run()
    assert "The link for Zoe opens nothing any more" in words(test)
    with sessions().begin() as session:
        with pytest.raises(Refused, match="taken back"):
            people.redeem(session, token)
        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.actor, entry.act, entry.subject) == ("Ada", "revoke invite", "Zoe")
        zoe = session.scalars(select(Annotator).where(Annotator.name == "Zoe")).one()
        assert logins.live(session, zoe.id) == []


def test_who_came_by_a_link_is_told_once_to_set_a_password(ledger, monkeypatch):
    enter(monkeypatch, "Newt")
    history = run("my_history")
    assert "a link that works once" in words(history)
    history.button(key="come-back-away").click().run()
    assert not history.exception
    assert "works once" not in words(run("my_history"))  # in every browser, for good


def test_who_has_a_password_is_not_told_to_set_one(ann, monkeypatch):
    enter(monkeypatch)
    assert "works once" not in words(run("my_history"))
