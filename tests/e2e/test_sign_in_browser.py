"""Signing in as people do it, in a real browser: a link, a password, an account at a provider."""

import re

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from db import identities, people
from db.models import Annotator, Identity
from db.session import readers, sessions
from tests.e2e.conftest import PHONE
from tests.e2e.labeling import ready
from tests.e2e.provider import providing
from tests.e2e.serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("sign-in")]

GOOD = "four plain green words"
WELCOME = "Welcome to PersonaLoop"


@pytest.fixture(scope="module")
def provider():
    with providing() as running:
        yield running


@pytest.fixture(scope="module")
def served(tmp_path_factory, provider):
    folder = tmp_path_factory.mktemp("signing-in")
    file = folder / ".streamlit" / "secrets.toml"
    file.parent.mkdir()
    file.write_text(provider.secrets_toml())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))  # one of the places where Streamlit looks for secrets
        with serving(folder) as running:
            yield running


@pytest.fixture
def visit(chromium, served):
    contexts = []

    def enter(**options):
        context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 860}, "color_scheme": "light", **options}
        )
        context.set_default_timeout(45_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(served.url)
        return page

    yield enter
    for context in contexts:
        context.close()


def welcome(page):
    expect(page.get_by_role("heading", name=WELCOME)).to_be_visible()


def to_account(page, served, name):
    page.goto(f"{served.url}/account")
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def by_keyboard(page, name, password):
    """Type name and password and send them, with no mouse."""
    welcome(page)
    page.get_by_label("Name").focus()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def test_from_a_link_to_a_password_and_back_in_and_revoked_while_signed_in(
    served, visit, screenshots
):
    page = visit()
    page.goto(served.invite("Ines"))
    ready(page)
    to_account(page, served, "Ines")
    for label in ("New password, at least", "New password once more"):
        page.get_by_label(re.compile(label)).fill(GOOD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your password is set")).to_be_visible()
    expect(page.get_by_label("New password once more")).to_have_value("")
    page.screenshot(path=screenshots / "account.png", full_page=True)
    page.get_by_role("link", name="Sign out here").click()
    welcome(page)

    by_keyboard(page, "Ines", "four plain blue words")
    expect(page.get_by_text("do not go together")).to_be_visible()
    assert "Ines" not in page.url and "words" not in page.url
    page.screenshot(path=screenshots / "sign-in-wrong.png", full_page=True)
    by_keyboard(page, "Ines", GOOD)
    ready(page)
    assert page.evaluate("document.cookie.includes('personaloop_login')") is False

    with sessions(served.database).begin() as session:
        people.set_active(session, "Ines", False)
    page.get_by_role("link", name="Guidelines").click()
    welcome(page)
    by_keyboard(page, "Ines", GOOD)
    expect(page.get_by_text("This account is switched off")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", PHONE),
    ],
)
def test_the_door_fits_and_is_reached_by_tab(visit, screenshots, name, options):
    page = visit(**options)
    welcome(page)
    expect(page.get_by_role("button", name="Sign in with Example")).to_be_visible()
    expect(page.get_by_text("personaloop users invite")).to_be_visible()
    page.screenshot(path=screenshots / f"sign-in-{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Name").focus()
    order = []
    for _ in range(3):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate("document.activeElement.textContent || document.activeElement.id")
        )
    assert order == ["pl-password", "Sign in", "Sign in with Example"]


def test_an_unknown_account_is_told_whom_to_ask_and_a_linked_one_is_in(
    served, provider, visit, screenshots
):
    provider.person = {"sub": "s-new", "name": "Ines", "email": "new@example.org"}
    page = visit()
    page.get_by_role("button", name="Sign in with Example").click()
    expect(page.get_by_text("not known here yet")).to_be_visible()
    expect(page.get_by_text(f"--issuer {provider.issuer} --subject s-new")).to_be_visible()
    page.screenshot(path=screenshots / "sign-in-unknown.png", full_page=True)
    with sessions(served.database).begin() as session:
        people.put_annotator(session, "Nia")
        identities.link(session, "Nia", provider.issuer, subject="s-new")
    page.reload()
    ready(page)
    to_account(page, served, "Nia")
    page.get_by_role("button", name="Sign out here").click()
    welcome(page)
    assert provider.signed_out == ["personaloop-tests"]
    page.reload()
    welcome(page)
    page.get_by_role("button", name="Sign in with Example").click()
    ready(page)
    with sessions(served.database).begin() as session:
        identities.unlink(session, "Nia")
    page.get_by_role("link", name="Guidelines").click()
    expect(page.get_by_text("not known here yet")).to_be_visible()


def test_whoever_came_by_a_link_connects_an_account_by_a_press(
    served, provider, visit, screenshots
):
    provider.person = {"sub": "s-7", "email": "omar@example.org", "email_verified": True}
    page = visit()
    page.goto(served.invite("Omar"))
    ready(page)
    to_account(page, served, "Omar")
    page.get_by_role("button", name="Sign in with Example to connect it").click()
    ready(page)
    to_account(page, served, "Omar")
    expect(page.get_by_text(re.compile("omar@.?example"))).to_be_visible()
    page.screenshot(path=screenshots / "account-connect.png", full_page=True)
    with readers(served.database)() as session:
        assert not session.scalars(select(Identity).where(Identity.subject == "s-7")).all()
    page.get_by_role("button", name="Connect it with this account").click()
    expect(page.get_by_text("From now on it signs you in")).to_be_visible()
    other = visit()
    other.get_by_role("button", name="Sign in with Example").click()
    ready(other)
    with readers(served.database)() as session:
        bound = session.scalars(
            select(Annotator.name)
            .join(Identity, Identity.annotator_id == Annotator.id)
            .where(Identity.subject == "s-7")
        ).all()
    assert bound == ["Omar"]


def test_people_shows_ways_in_and_takes_a_waiting_link_back(served, visit, screenshots):
    page = visit()
    page.goto(served.invite("Ada", "admin"))
    link = served.invite("Zoe")
    page.goto(f"{served.url}/people")
    page.get_by_text("not used yet").click()
    page.screenshot(path=screenshots / "people.png", full_page=True)
    row = page.get_by_test_id("stHorizontalBlock").filter(has_text="Zoe as evaluator")
    row.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("The link for Zoe opens nothing any more")).to_be_visible()
    other = visit()
    other.goto(link)
    expect(other.get_by_text("This invitation was taken back")).to_be_visible()
