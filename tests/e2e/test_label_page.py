"""The label page in a real browser: judging by key, mouse and touch, and looking right."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import PHONE
from tests.e2e.labeling import VERDICTS, judgments, next_pair, ready, status, token_of

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("label-page")]


def test_a_signed_out_visitor_sees_how_to_get_a_link_and_no_data(chromium, served, screenshots):
    page = chromium.new_page()
    page.goto(served.url + "/label")
    expect(page.get_by_role("heading", name="Welcome to PersonaLoop")).to_be_visible()
    expect(page.get_by_text("personaloop users invite")).to_be_visible()
    assert page.get_by_role("region", name="Response A").count() == 0
    assert "NovaBrew" not in page.content()
    page.screenshot(path=screenshots / "signed-out.png")
    page.close()


def test_an_invite_signs_in_once_and_a_used_one_says_so_kindly(served):
    link = served.invite("Iris")
    with httpx.Client(trust_env=False) as client:
        assert client.head(link).status_code == 200, "a link preview must not use the link up"
        first = client.get(link)
        assert (first.status_code, first.headers["location"]) == (303, "/")
        cookie = first.headers["set-cookie"]
        assert "personaloop_login=" in cookie
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        again = client.get(link)
        assert again.status_code == 410
        assert "used already" in again.text
        assert again.headers["cache-control"] == "no-store"


def test_the_page_has_the_names_that_screen_readers_and_scripts_meet(sign_in):
    page = sign_in("Nora")
    token = ready(page)
    for name in [*VERDICTS, "Skip", "Undo"]:
        assert page.get_by_role("button", name=name, exact=True).count() == 1, name
    for name in ("Response A", "Response B"):
        region = page.get_by_role("region", name=name)
        assert region.count() == 1
        assert len(region.inner_text()) > 40
    mark = page.get_by_test_id("assignment")
    assert mark.text_content() == mark.get_attribute("data-token") == token
    assert re.fullmatch(r"[\w-]{43}", token)
    boxes = [page.get_by_role("region", name=f"Response {x}").bounding_box() for x in "AB"]
    assert abs(boxes[0]["width"] - boxes[1]["width"]) < 1
    assert abs(boxes[0]["height"] - boxes[1]["height"]) < 1


def test_a_full_run_by_keyboard_alone_stores_each_verdict_as_shown(served, sign_in):
    page = sign_in("Kim")
    wanted = []
    token = ready(page)
    for key, verdict, strength in [
        ("1", "a", 2), ("2", "a", 1), ("3", "tie", None),
        ("4", "b", 1), ("5", "b", 2), ("0", "both_bad", None),
    ]:  # fmt: skip
        assert ready(page) == token
        page.keyboard.press(key)
        wanted.append((token, verdict, strength, True))
        token = next_pair(page, token)
        expect(status(page)).to_have_text("Saved")
    assert judgments(served.database, "Kim") == wanted
    expect(page.get_by_text("6 of 40")).to_be_visible()


def test_the_text_that_was_preferred_is_the_one_that_the_ledger_prefers(served, sign_in):
    from sqlalchemy import select

    from db.models import Comparison, Judgment
    from db.session import readers

    page = sign_in("Greta")
    for _ in range(4):
        token = ready(page)
        side = (
            "B" if "Tuesday" in page.get_by_role("region", name="Response B").inner_text() else "A"
        )
        chosen = page.get_by_role("region", name=f"Response {side}").inner_text()
        page.get_by_role("button", name=f"{side} is better", exact=True).click()
        next_pair(page, token)
        with readers(served.database)() as session:
            judgment = session.scalars(select(Judgment).order_by(Judgment.id.desc())).first()
            comparison = session.get_one(Comparison, judgment.comparison_id)
            preferred = {"a": comparison.candidate_a, "b": comparison.candidate_b}
            words = preferred[judgment.verdict.value].text.split()[-1].strip("*.!")
        assert words in chosen


def test_reasons_comment_questions_and_flag_travel_with_the_verdict(served, sign_in):
    from sqlalchemy import select

    from db.models import Annotator, Judgment
    from db.session import readers

    page = sign_in("Rosa")
    token = ready(page)
    page.keyboard.press("t")
    page.keyboard.press("Space")  # the first tag has the focus
    page.get_by_role("checkbox", name="Clearer").check()
    page.get_by_role("textbox", name="Comment").fill("Names the product; 12345 suits me.")
    page.keyboard.press("Control+Enter")
    expect(status(page)).to_contain_text("Comment kept")
    page.get_by_text("In character, helpful, safe?").click()
    page.get_by_role("group", name="Helpful").get_by_label("Yes").check()
    page.keyboard.press("f")
    page.get_by_role("combobox", name="Flag a problem").select_option("broken")
    page.get_by_role("group", name="Safe").get_by_label("Not sure").check()
    assert judgments(served.database, "Rosa") == []
    page.keyboard.press("2")
    next_pair(page, token)
    with readers(served.database)() as session:
        stored = session.scalars(
            select(Judgment).join(Annotator, Annotator.id == Judgment.annotator_id)
            .where(Annotator.name == "Rosa")
        ).one()  # fmt: skip
    assert stored.tags == ["Answers the question", "Clearer"]
    assert stored.comment == "Names the product; 12345 suits me."
    assert (stored.helpful, stored.safe, stored.in_character) == ("yes", "unsure", None)
    assert stored.flag == "broken"
    assert stored.dwell_ms > 500
    assert page.locator(".pl-comment textarea").input_value() == "", "the next pair starts empty"


def test_keys_do_nothing_while_somebody_types(served, sign_in):
    page = sign_in("Tess")
    token = ready(page)
    page.keyboard.press("t")
    page.get_by_role("textbox", name="Comment").focus()
    page.keyboard.type("1 2 3 4 5 0 s u t f ? sure")
    page.wait_for_timeout(600)
    assert token_of(page) == token
    assert judgments(served.database, "Tess") == []
    assert page.get_by_role("textbox", name="Comment").input_value() == "1 2 3 4 5 0 s u t f ? sure"


def test_after_a_flag_escape_gives_the_keys_back(served, sign_in):
    page = sign_in("Fay")
    token = ready(page)
    page.keyboard.press("f")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("3")  # still in the field: a key there is typing
    page.keyboard.press("Escape")
    page.keyboard.press("4")
    next_pair(page, token)
    assert judgments(served.database, "Fay") == [(token, "b", 1, True)]


def test_skip_gives_the_pair_away_and_undo_brings_the_last_answer_back(served, sign_in):
    page = sign_in("Sam")
    skipped = ready(page)
    page.keyboard.press("s")
    judged = next_pair(page, skipped)
    expect(status(page)).to_have_text("Skipped")
    ready(page)
    words = page.get_by_role("region", name="Response A").inner_text()
    page.keyboard.press("4")
    after = next_pair(page, judged)
    page.keyboard.press("u")
    again = next_pair(page, after)
    assert again != judged, "the old token is spent"
    assert page.get_by_role("region", name="Response A").inner_text() == words
    expect(status(page)).to_contain_text("Taken back")
    ready(page)
    page.keyboard.press("1")
    next_pair(page, again)
    assert judgments(served.database, "Sam") == [(judged, "b", 1, False), (again, "a", 2, True)]


def test_any_earlier_answer_can_be_changed_from_my_history(served, sign_in):
    page = sign_in("Hana")
    first = ready(page)
    page.keyboard.press("2")
    next_pair(page, first)
    page.get_by_role("link", name="My history").click()
    page.get_by_role("heading", name="My history").wait_for()
    page.locator("summary", has_text="A is better").click()
    page.get_by_role("button", name="Change this answer").click()
    page.get_by_text("You have seen this pair before").wait_for()
    token = ready(page)
    page.keyboard.press("5")
    next_pair(page, token)
    stored = judgments(served.database, "Hana")
    assert [each[1:] for each in stored] == [("a", 1, False), ("b", 2, True)]


def test_nothing_on_the_wire_or_in_the_page_tells_where_a_reply_comes_from(served, sign_in):
    frames = []

    def listen(socket):
        socket.on("framereceived", lambda data: frames.append(data))

    page = sign_in("Blind")
    page.context.on("page", lambda new: new.on("websocket", listen))
    watched = page.context.new_page()
    watched.on("websocket", listen)
    watched.goto(served.url)
    for _ in range(3):
        token = ready(watched)
        watched.keyboard.press("3")
        next_pair(watched, token)
    wire = b"".join(each if isinstance(each, bytes) else each.encode() for each in frames)
    assert len(wire) > 10_000
    for secret in ("first-adapter", "second-adapter", "playful_sidekick/", "adapter_id",
                   "candidate_id", "comparison_id", "placement"):  # fmt: skip
        assert secret.encode() not in wire, secret
        assert secret not in watched.content(), secret


def test_a_revoked_person_is_out_with_the_next_act(served, sign_in):
    from db.people import set_active
    from db.session import sessions

    page = sign_in("Rex")
    ready(page)
    with sessions(served.database).begin() as session:
        set_active(session, "Rex", False)
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="Welcome to PersonaLoop")).to_be_visible()
    assert judgments(served.database, "Rex") == []


def test_a_switched_off_admin_gets_nothing_more_from_a_page_left_open(served, sign_in):
    from db.models import AuditEntry
    from db.people import set_active
    from db.session import sessions

    page = sign_in("Ari", role="admin")
    page.goto(served.url + "/batches")
    pause = page.get_by_role("button", name="Pause").first
    pause.wait_for()
    with sessions(served.database).begin() as session:
        set_active(session, "Ari", False)
    pause.click()
    expect(page.get_by_text("You are signed out")).to_be_visible()
    expect(pause).to_be_hidden()
    with sessions(served.database)() as session:
        assert not session.query(AuditEntry).filter(AuditEntry.actor == "Ari").count()


def test_signing_out_gives_the_pair_back(served, sign_in):
    page = sign_in("Olga")
    ready(page)
    page.goto(served.url + "/account")
    page.get_by_role("link", name="Sign out here").click()
    expect(page.get_by_role("heading", name="Welcome to PersonaLoop")).to_be_visible()
    assert not [each for each in page.context.cookies() if each["name"] == "personaloop_login"]


def test_the_label_page_has_an_address_of_its_own(served, sign_in):
    page = sign_in("Link")
    token = ready(page)
    page.goto(served.url + "/label")
    assert ready(page) == token


def test_buttons_that_wait_say_so_to_scripts_and_screen_readers(served, sign_in):
    page = sign_in("Waits")
    token = ready(page)
    for _ in range(2):  # a click waits for the dwell by itself
        page.get_by_role("button", name="Tie", exact=True).click()
        token = next_pair(page, token)
        assert page.locator('[data-verdict="tie"]').get_attribute("aria-disabled") == "true"
    assert len(judgments(served.database, "Waits")) == 2


def test_pages_of_another_role_say_so(served, sign_in):
    page = sign_in("Eve")
    ready(page)
    page.goto(served.url + "/people")
    expect(page.get_by_text("This page is for the role “admin”")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_looks_right_on_a_desk(served, sign_in, screenshots, scheme):
    page = sign_in(f"Desk {scheme}", color_scheme=scheme)
    token = ready(page)
    page.keyboard.press("2")
    next_pair(page, token)
    ready(page)
    page.screenshot(path=screenshots / f"label-{scheme}.png")
    top = page.locator(".pl-verdicts").bounding_box()["y"]
    for _ in range(3):
        token = ready(page)
        page.keyboard.press("3")
        next_pair(page, token)
        ready(page)
        assert abs(page.locator(".pl-verdicts").bounding_box()["y"] - top) < 1, "the bar jumped"
    page.keyboard.press("t")
    page.screenshot(path=screenshots / f"label-{scheme}-why.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_works_by_touch_on_a_phone(served, sign_in, screenshots, scheme):
    page = sign_in(f"Phone {scheme}", color_scheme=scheme, **PHONE)
    token = ready(page)
    above, below = (page.get_by_role("region", name=f"Response {x}").bounding_box() for x in "AB")
    assert below["y"] >= above["y"] + above["height"], "A and B stack"
    for name in [*VERDICTS, "Skip", "Undo"]:
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box["height"] >= 44, name
        assert box["width"] >= 44, name
        assert box["y"] + box["height"] <= 844, f"{name} is below the screen"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=screenshots / f"label-phone-{scheme}.png")
    page.get_by_role("button", name="B is better", exact=True).tap()
    next_pair(page, token)
    expect(status(page)).to_have_text("Saved")


def test_text_is_readable_in_both_palettes(sign_in):
    for scheme in ("light", "dark"):
        page = sign_in(f"Contrast {scheme}", color_scheme=scheme)
        ready(page)
        page.keyboard.press("t")
        page.wait_for_timeout(300)
        weak = page.evaluate(CONTRAST)
        assert weak == [], weak


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => {
    const a = top[3] + under[3] * (1 - top[3]);
    const mix = (i) => (top[i] * top[3] + under[i] * under[3] * (1 - top[3])) / (a || 1);
    return [mix(0), mix(1), mix(2), a];
  };
  const ground = (element) => {
    let colour = [0, 0, 0, 0];
    for (let at = element; at && colour[3] < 0.999; at = at.parentElement)
      colour = over(colour, rgba(getComputedStyle(at).backgroundColor));
    return over(colour, [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const weak = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    if (element.closest('[aria-disabled=true], style, script, noscript')) continue;
    const back = ground(element), text = over(rgba(getComputedStyle(element).color), back);
    const [hi, lo] = [light(text), light(back)].sort((x, y) => y - x);
    const ratio = (hi + 0.05) / (lo + 0.05);
    const words = walk.currentNode.textContent.trim().slice(0, 40);
    if (ratio < 4.5) weak.push([words, ratio.toFixed(2)]);
  }
  return weak;
}"""
