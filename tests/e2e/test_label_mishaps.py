"""What goes wrong at a desk: each mishap loses nothing, doubles nothing, records nothing unread."""

import signal
from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import func, select, update

from db.clock import utcnow
from db.leases import let_go
from db.models import Annotator, Assignment, AssignmentState, Comparison, Judgment
from db.session import sessions
from tests.e2e.labeling import judgments, next_pair, ready, status, token_of
from tests.e2e.mishaps import wire_to, write_lock

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("label-mishaps")]


LOCKS = [(1.5, False), (8, True)]
"""Seconds that somebody else writes; whether that is long enough for the page to say so."""


def judged(served, name):
    return [(token, verdict, strength) for token, verdict, strength, stands in judgments(
        served.database, name) if stands]  # fmt: skip


@pytest.mark.parametrize("gap_ms", [0, 20, 120, 400])
def test_a_double_click_is_one_answer(served, sign_in, gap_ms):
    name = f"Double {gap_ms}"
    page = sign_in(name)
    token = ready(page)
    button = page.get_by_role("button", name="A is better", exact=True)
    box = button.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(x, y)
    page.wait_for_timeout(gap_ms)
    page.mouse.click(x, y)
    next_pair(page, token)
    page.wait_for_timeout(800)
    assert judged(served, name) == [(token, "a", 1)]


def skips(served, name):
    with sessions(served.database)() as session:
        return session.scalar(
            select(func.count())
            .select_from(Assignment)
            .join(Annotator)
            .where(Annotator.name == name, Assignment.state == AssignmentState.SKIPPED)
        )


def test_a_double_press_skips_one_pair_and_takes_back_one_answer(served, sign_in):
    page = sign_in("Twice")
    first = ready(page)
    page.keyboard.press("1")
    second = next_pair(page, first)
    ready(page)
    page.keyboard.press("1")
    third = next_pair(page, second)
    page.keyboard.press("s")
    fourth = next_pair(page, third)
    page.keyboard.press("s")  # the second half of a double press, on a pair nobody has read
    page.wait_for_timeout(900)
    assert token_of(page) == fourth
    assert skips(served, "Twice") == 1
    page.keyboard.press("u")
    next_pair(page, fourth)
    page.keyboard.press("u")
    page.wait_for_timeout(900)
    assert [token for token, _, _ in judged(served, "Twice")] == [first]
    here = ready(page)
    page.get_by_role("button", name="Skip", exact=True).click()  # a moment later it works again
    next_pair(page, here)


def test_a_held_key_is_one_answer(served, sign_in):
    page = sign_in("Held")
    token = ready(page)
    for _ in range(60):
        page.keyboard.down("1")
        page.wait_for_timeout(50)
    page.keyboard.up("1")
    page.wait_for_timeout(500)
    assert judged(served, "Held") == [(token, "a", 2)]


def test_keys_typed_at_once_are_one_answer(served, sign_in):
    page = sign_in("Typed")
    token = ready(page)
    page.keyboard.type("112")
    second = next_pair(page, token)
    page.wait_for_timeout(300)
    assert judged(served, "Typed") == [(token, "a", 2)]
    page.keyboard.type("35")  # the new pair cannot have been read yet
    page.wait_for_timeout(500)
    assert judged(served, "Typed") == [(token, "a", 2)]
    assert ready(page) == second


def test_the_server_refuses_what_nobody_can_have_read(served, sign_in):
    page = sign_in("Rash")
    token = ready(page)
    page.keyboard.press("2")
    second = next_pair(page, token)
    with sessions(served.database).begin() as session:  # shown this very moment
        session.execute(
            update(Assignment)
            .where(Assignment.token == second)
            .values(shown_at=utcnow() + timedelta(seconds=3))
        )
    # a browser that does not wait: the same component, its clock put forward
    page.evaluate(
        "() => { const panel = document.querySelector('.pl-panel').panel;"
        " panel.readyAt = panel.restsUntil = 0; panel.judge('b', 2); }"
    )
    expect(status(page)).to_contain_text("Please take a moment")
    assert judged(served, "Rash") == [(token, "a", 1)]
    assert page.evaluate("document.querySelector('.pl-panel').panel.readyAt") > 0, "it waits again"
    assert ready(page) == second
    page.keyboard.press("4")
    next_pair(page, second)
    assert judged(served, "Rash") == [(token, "a", 1), (second, "b", 1)]


def test_the_same_answer_sent_again_is_one_answer(served, sign_in):
    page = sign_in("Again")
    token = ready(page)
    page.evaluate(
        "() => { const panel = document.querySelector('.pl-panel').panel; panel.judge('a', 1);"
        " const sent = panel.pending;"
        " for (const ms of [5, 40, 200, 700]) setTimeout(() => panel.send(sent), ms); }"
    )
    next_pair(page, token)
    page.wait_for_timeout(1500)
    assert judged(served, "Again") == [(token, "a", 1)]


def test_a_reload_shows_the_same_pair_and_keeps_the_draft(served, sign_in):
    page = sign_in("Reload")
    token = ready(page)
    words = [page.get_by_role("region", name=f"Response {x}").inner_text() for x in "AB"]
    page.keyboard.press("t")
    page.get_by_role("textbox", name="Comment").fill("half a thought")
    page.get_by_role("checkbox", name="Clearer").check()
    page.reload()
    assert ready(page) == token
    assert [page.get_by_role("region", name=f"Response {x}").inner_text() for x in "AB"] == words
    assert page.locator(".pl-comment textarea").input_value() == "half a thought"
    page.keyboard.press("5")
    next_pair(page, token)
    assert judged(served, "Reload") == [(token, "b", 2)]


def test_a_reload_right_after_the_press_loses_nothing(served, sign_in):
    page = sign_in("Hasty")
    token = ready(page)
    page.keyboard.press("1")
    page.reload()
    ready(page)
    if token_of(page) == token:
        next_pair(page, token)
    assert judged(served, "Hasty") == [(token, "a", 2)]


def test_the_back_button_cannot_reach_an_old_pair(served, sign_in):
    page = sign_in("Back")
    first = ready(page)
    page.keyboard.press("2")
    second = next_pair(page, first)
    page.get_by_role("link", name="Guidelines").click()
    page.get_by_role("heading", name="How to judge").wait_for()
    page.go_back()
    assert ready(page) == second
    page.keyboard.press("3")
    next_pair(page, second)
    assert judged(served, "Back") == [(first, "a", 1), (second, "tie", None)]


def test_a_second_tab_shows_the_same_pair_and_cannot_judge_it_twice(served, sign_in):
    page = sign_in("Tabs")
    token = ready(page)
    other = page.context.new_page()
    other.goto(served.url)
    assert ready(other) == token
    page.keyboard.press("1")
    second = next_pair(page, token)
    other.keyboard.press("5")
    expect(status(other)).to_contain_text("You already judged this pair")
    assert next_pair(other, token) == second
    assert judged(served, "Tabs") == [(token, "a", 2)]


def test_an_answer_given_without_a_connection_arrives_when_it_is_back(served, sign_in):
    page = sign_in("Offline")
    token = ready(page)
    page.context.set_offline(True)
    page.keyboard.press("4")
    page.wait_for_timeout(1500)
    page.context.set_offline(False)
    next_pair(page, token)
    assert judged(served, "Offline") == [(token, "b", 1)]


def test_a_dropped_connection_is_told_and_the_answer_arrives_once(served, sign_in):
    page = sign_in("Dropped")
    with wire_to(served.port) as wire:
        page.goto(f"http://127.0.0.1:{wire.port}/")
        token = ready(page)
        wire.cut()
        page.keyboard.press("4")
        expect(status(page)).to_contain_text("Not saved yet")
        assert judged(served, "Dropped") == []
        wire.mend()
        next_pair(page, token)
        expect(status(page)).to_have_text("Saved")
        page.wait_for_timeout(1000)
        assert judged(served, "Dropped") == [(token, "b", 1)]


@pytest.mark.parametrize(("hold_s", "told"), LOCKS)
def test_clicks_during_a_slow_save_are_one_answer(served, sign_in, hold_s, told):
    name = f"Locked {hold_s}"
    page = sign_in(name)
    token = ready(page)
    with write_lock(served.database):
        page.get_by_role("button", name="A is better", exact=True).click()
        expect(status(page)).to_contain_text("Saving…")
        for other in ("B is much better", "A is better", "Skip"):
            page.get_by_role("button", name=other, exact=True).click(force=True)
            page.wait_for_timeout(hold_s * 1000 / 3)
        if told:
            expect(status(page)).to_contain_text("Not saved yet")
        assert judged(served, name) == []
        assert token_of(page) == token
    second = next_pair(page, token)
    expect(status(page)).to_have_text("Saved")
    page.wait_for_timeout(800)
    assert judged(served, name) == [(token, "a", 1)]
    assert skips(served, name) == 0
    assert ready(page) == second


def test_leaving_the_site_and_coming_back_keeps_the_pair_and_the_answer(served, sign_in):
    page = sign_in("Away")
    first = ready(page)
    page.goto("about:blank")
    page.go_back()
    assert ready(page) == first
    page.keyboard.press("2")
    second = next_pair(page, first)
    ready(page)
    page.keyboard.press("5")
    page.goto("about:blank")  # at once: perhaps before it was sent
    page.go_back()
    ready(page)
    if token_of(page) == second:
        next_pair(page, second)
    page.wait_for_timeout(800)
    assert judged(served, "Away") == [(first, "a", 1), (second, "b", 2)]


def test_an_expired_lease_is_revived_when_nobody_else_took_the_pair(served, sign_in):
    page = sign_in("Slow")
    token = ready(page)
    with sessions(served.database).begin() as session:
        session.execute(
            update(Assignment)
            .where(Assignment.token == token)
            .values(expires_at=utcnow() - timedelta(minutes=1))
        )
    page.keyboard.press("2")
    next_pair(page, token)
    assert judged(served, "Slow") == [(token, "a", 1)]


def test_an_expired_lease_whose_seats_are_gone_is_told_kindly(served, sign_in):
    page = sign_in("Late")
    token = ready(page)
    with sessions(served.database).begin() as session:
        held = session.scalar(select(Assignment).where(Assignment.token == token))
        let_go(session, held, AssignmentState.RELEASED)
        session.get_one(Comparison, held.comparison_id).seats = 0
    page.keyboard.press("2")
    next_pair(page, token)
    expect(status(page)).to_contain_text("here is the next one")
    assert judged(served, "Late") == []


def test_two_people_never_hold_up_each_other(served, sign_in):
    one, other = sign_in("Pair One"), sign_in("Pair Two")
    for _ in range(3):
        here, there = ready(one), ready(other)
        assert here != there
        one.keyboard.press("2")
        other.keyboard.press("4")
        next_pair(one, here)
        next_pair(other, there)
    assert len(judged(served, "Pair One")) == len(judged(served, "Pair Two")) == 3


@pytest.mark.slow
def test_a_server_restart_keeps_the_answer_that_was_on_its_way(served, sign_in):
    page = sign_in("Restart")
    token = ready(page)
    page.keyboard.press("t")
    page.get_by_role("textbox", name="Comment").fill("before the restart")
    page.keyboard.press("Control+Enter")
    served.stop(signal.SIGKILL)
    page.wait_for_timeout(700)
    page.keyboard.press("5")
    expect(status(page)).to_contain_text("Not saved yet", timeout=30_000)
    served.start_again()
    page.wait_for_function(
        "old => { const mark = document.querySelector('[data-testid=assignment]');"
        " return mark && mark.textContent !== old; }",
        arg=token,
        timeout=60_000,
    )
    assert judged(served, "Restart") == [(token, "b", 2)]
    with sessions(served.database)() as session:
        annotator = session.scalar(select(Annotator).where(Annotator.name == "Restart"))
        made = session.scalars(select(Judgment).where(Judgment.annotator_id == annotator.id)).one()
    assert made.comment == "before the restart"
