"""The label page by keys and touch: reasons to skip, the focus, practice; what chat tells."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from db import guidelines, onboarding, practice
from db.models import Annotator, Assignment, AssignmentState, Flag, PracticeAnswer
from db.session import sessions
from tests.e2e.conftest import PHONE
from tests.e2e.labeling import judgments, next_pair, ready, status, token_of

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("label-keys")]

REASONS = ["I don't know this language", "I know too little about it", "I'd rather not say"]


def skipped(served, name):
    """Why this person passed on pairs, oldest first."""
    with sessions(served.database)() as session:
        return list(
            session.scalars(
                select(Assignment.skip_reason)
                .join(Annotator)
                .where(Annotator.name == name, Assignment.state == AssignmentState.SKIPPED)
                .order_by(Assignment.id)
            )
        )


def focused(page):
    """Whether the focus is nowhere or in the panel, and in no field that takes keys."""
    return page.evaluate(
        "() => { const at = document.activeElement; return at === document.body"
        " || (!!at.closest('.pl-panel') && !at.closest('textarea, select, input')); }"
    )


def test_a_reason_to_skip_is_given_by_keys_alone(served, sign_in):
    page = sign_in("Kay")
    first = ready(page)
    group = page.get_by_role("group", name="Reasons for passing on this pair")
    page.keyboard.press("i")
    expect(group).to_be_visible()
    assert [each.get_attribute("data-key") for each in group.get_by_role("button").all()] == [
        "1", "2", "3",
    ]  # fmt: skip
    page.keyboard.press("5")  # no such reason, and no verdict while reasons are open
    page.wait_for_timeout(300)
    assert token_of(page) == first
    page.keyboard.press("2")
    second = next_pair(page, first)
    expect(status(page)).to_have_text("Skipped")
    expect(group).to_be_hidden()
    ready(page)
    page.keyboard.press("i")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    third = next_pair(page, second)
    ready(page)
    page.keyboard.press("i")
    page.keyboard.press("ArrowUp")  # round to the last
    expect(group.get_by_role("button", name=REASONS[2])).to_be_focused()
    page.keyboard.press("Escape")
    expect(group).to_be_hidden()
    expect(page.get_by_role("button", name="Choose a reason")).to_be_focused()
    page.keyboard.press("2")  # keys are verdicts again
    next_pair(page, third)
    assert skipped(served, "Kay") == [REASONS[1], REASONS[2]]
    assert judgments(served.database, "Kay") == [(third, "a", 1, True)]


def test_a_note_with_a_skip_reaches_the_admins(served, sign_in):
    page = sign_in("Noa")
    token = ready(page)
    page.keyboard.press("f")
    page.get_by_role("combobox", name="Flag a problem").select_option("personal data")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    next_pair(page, token)
    expect(status(page)).to_have_text("Skipped, and your note is kept")
    with sessions(served.database)() as session:
        kept = session.scalars(
            select(Flag).join(Annotator, Annotator.id == Flag.annotator_id)
            .where(Annotator.name == "Noa")
        ).one()  # fmt: skip
        assert (kept.kind, kept.judgment_id) == ("personal data", None)


def test_after_a_verdict_and_an_undo_the_keys_still_go_to_the_panel(served, sign_in):
    page = sign_in("Focus")
    first = ready(page)
    page.get_by_role("button", name="A is better", exact=True).click()
    second = next_pair(page, first)
    ready(page)
    assert focused(page)
    page.get_by_role("button", name="Undo", exact=True).click()
    again = next_pair(page, second)
    ready(page)
    assert focused(page)
    page.keyboard.press("t")
    page.get_by_role("textbox", name="Comment").fill("on second thoughts")
    page.keyboard.press("Control+Enter")
    assert focused(page), "after a comment is kept the keys are verdicts again"
    page.keyboard.press("5")
    next_pair(page, again)
    assert focused(page)
    assert judgments(served.database, "Focus") == [(first, "a", 1, False), (again, "b", 2, True)]


def test_reasons_are_given_by_touch(served, sign_in):
    page = sign_in("Thumb", **PHONE)
    token = ready(page)
    page.locator(".pl-why summary").tap()
    tag = page.locator(".pl-tags label", has_text="Clearer")
    assert tag.bounding_box()["height"] >= 44
    tag.tap()
    expect(page.get_by_role("checkbox", name="Clearer")).to_be_checked()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.get_by_role("button", name="B is better", exact=True).bounding_box()
    assert box["y"] + box["height"] <= 844, "the verdicts stay on the screen"
    page.get_by_role("button", name="B is better", exact=True).tap()
    next_pair(page, token)
    assert judgments(served.database, "Thumb") == [(token, "b", 1, True)]


def test_chat_and_history_tell_an_evaluator_nothing_of_where_replies_come_from(served, sign_in):
    frames = []
    page = sign_in("Curious")
    token = ready(page)
    page.keyboard.press("2")
    next_pair(page, token)
    watched = page.context.new_page()
    watched.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda data: frames.append(data)),
    )
    for address, sign in (("my_history", "My history"), ("chat", "Chat")):
        watched.goto(f"{served.url}/{address}")
        watched.get_by_role("heading", name=sign, exact=True).first.wait_for()
        watched.wait_for_timeout(1500)
        if address == "my_history":
            watched.locator("summary", has_text="A is better").click()
            watched.get_by_role("button", name="Change this answer").wait_for()
        for secret in ("first-adapter", "second-adapter", "adapter_id", "candidate_id"):
            assert secret not in watched.content(), (address, secret)
    wire = b"".join(each if isinstance(each, bytes) else each.encode() for each in frames)
    assert len(wire) > 10_000
    for secret in ("first-adapter", "second-adapter", "adapter_id", "candidate_id", "placement"):
        assert secret.encode() not in wire, secret


def test_required_reading_and_practice_lead_to_the_first_pair_by_keys(served, sign_in):
    with sessions(served.database).begin() as session:
        guidelines.load_first(session)
        practice.load_first(session)
        pairs = len(practice.items(session))
        onboarding.require(session, actor="boss", guidelines="required", practice="required")
    try:
        page = sign_in("Newcomer")
        page.get_by_role("button", name="I have read this and go by it").wait_for()
        page.keyboard.press("Enter")
        for number in range(1, pairs + 1):
            expect(page.get_by_text(f"Practice {number} of {pairs}")).to_be_visible()
            assert ready(page).startswith("practice-")
            assert not page.get_by_role("button", name="Skip", exact=True).is_visible()
            page.keyboard.press("2")
            page.get_by_role("button", name="Next").wait_for()
            page.keyboard.press("Enter")
        page.get_by_role("button", name="Judge the first pair").wait_for()
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => /^[\\w-]{43}$/.test("
            "document.querySelector('[data-testid=assignment]')?.textContent)"
        )
        token = ready(page)
        page.keyboard.press("4")
        next_pair(page, token)
        assert judgments(served.database, "Newcomer") == [(token, "b", 1, True)]
        with sessions(served.database)() as session:
            assert session.query(PracticeAnswer).count() == pairs
    finally:
        with sessions(served.database).begin() as session:
            onboarding.require(session, actor="boss", guidelines="offered", practice="offered")
