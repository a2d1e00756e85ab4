"""The label page when there is nothing to judge: first pairs on their way, or all done."""

import json

import pytest
from playwright.sync_api import expect

from db.clock import utcnow
from db.people import set_active
from db.session import sessions
from tests.e2e.labeling import judgments, next_pair, ready
from tests.e2e.serving import seed, serving

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("label-waiting")]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("waiting"), pairs=0) as running:
        yield running


def test_the_first_pairs_appear_by_themselves_and_the_last_one_can_be_undone(
    served, sign_in, screenshots
):
    note = served.outputs / "first_pairs.json"
    note.write_text(json.dumps({"state": "writing", "since": utcnow().isoformat()}))
    page = sign_in("Early")
    expect(page.get_by_text("The first pairs are being written; about a minute")).to_be_visible()
    page.screenshot(path=screenshots / "label-first-pairs.png")
    seed(served.database, pairs=1)
    note.unlink()
    token = ready(page)
    page.keyboard.press("2")
    next_pair(page, token)
    expect(page.get_by_role("heading", name="All done for now")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Saved")
    expect(page.get_by_text("thank you")).to_be_visible()
    assert page.get_by_role("button", name="A is better").count() == 0
    page.screenshot(path=screenshots / "label-all-done.png")
    page.get_by_role("button", name="Undo", exact=True).click()
    token = ready(page)
    page.keyboard.press("4")
    next_pair(page, token)
    assert [each[1:] for each in judgments(served.database, "Early")] == [
        ("a", 1, False),
        ("b", 1, True),
    ]


def test_a_page_that_waits_notices_when_its_person_is_switched_off(served, sign_in):
    page = sign_in("Gone")
    ready(page)
    page.keyboard.press("s")
    expect(page.get_by_role("heading", name="Nothing to judge yet")).to_be_visible()
    with sessions(served.database).begin() as session:
        set_active(session, "Gone", False)
    expect(page.get_by_role("heading", name="Welcome to PersonaLoop")).to_be_visible(timeout=15_000)
