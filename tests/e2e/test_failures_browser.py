"""The failure explorer in a real browser: what is on screen is in the address, texts do nothing."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from db import labeling, people
from db.batches import open_batch, put_comparison
from db.candidates import put_candidate
from db.models import Annotator
from db.prompts import put_prompt
from db.session import sessions
from tests.e2e.conftest import PHONE
from tests.e2e.serving import Served

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("failures")]

SLUG, LOSER, WINNER = "playful_sidekick", "first-adapter", "second-adapter"
HOSTILE = (
    "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    "[here](javascript:document.title='taken') **loud**"
)


@pytest.fixture(scope="module")
def lost(served: Served) -> Served:
    """The first adapter lost 12 comparisons, each by one judgment, over the tone."""
    with sessions(served.database).begin() as session:
        people.invite(session, "Judy", "evaluator")
        judy = session.scalars(select(Annotator).where(Annotator.name == "Judy")).one()
        batch = open_batch(session, name="lost", kind="blind", persona=SLUG, priority=9)
        for number in range(12):
            prompt = put_prompt(session, [{"role": "user", "content": f"What now, {number}?"}])
            one, two = (
                put_candidate(
                    session, prompt_id=prompt.id, persona=SLUG, adapter_id=adapter, text=text
                )
                for adapter, text in ((LOSER, f"{HOSTILE} {number}"), (WINNER, f"Well, {number}."))
            )
            put_comparison(session, batch, one, two)
            shown = labeling.claim(session, judy.id, batch_id=batch.id)
            assert shown is not None
            better = "b" if shown.response_a.startswith("<img") else "a"
            labeling.judge(
                session, shown.token, judy.id, better, tags=["Better tone"], min_dwell=False
            )
    return served


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_view_can_be_shared_by_its_address(lost: Served, sign_in: Any) -> None:
    page = sign_in("Anna", "analyst")
    page.goto(f"{lost.url}/failures?adapter={LOSER}")
    expect(page.get_by_role("heading", name=re.compile("lost 12 of 12"))).to_be_visible()
    page.get_by_role("button", name="Page 2").click()
    expect(page.get_by_text("11 to 12 of 12 lost comparisons")).to_be_visible()
    expect(page).to_have_url(re.compile("page=2"))
    expect(page).to_have_url(re.compile(r"persona=Playful\+Sidekick"))
    shared = page.url

    choose(page, "Reason", "Better tone")
    expect(page.get_by_text("1 to 10 of 12 lost comparisons")).to_be_visible()
    expect(page).not_to_have_url(re.compile("page="))
    choose(page, "Show", "lost by much")
    expect(page.get_by_text("No comparison lost by much under these filters")).to_be_visible()

    page.goto(shared)
    expect(page.get_by_text("11 to 12 of 12 lost comparisons")).to_be_visible()


def test_a_download_has_the_whole_list(lost: Served, sign_in: Any) -> None:
    page = sign_in("Anna", "analyst")
    page.goto(f"{lost.url}/failures?adapter={LOSER}")
    expect(page.get_by_text("1 to 10 of 12 lost comparisons")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).last.click()
    assert download.value.path().read_text(encoding="utf-8").count("Better tone (1)") == 12


def test_hostile_texts_do_nothing_and_stack_on_a_phone(lost: Served, sign_in: Any) -> None:
    page = sign_in("Anna", "analyst", **PHONE)
    page.goto(f"{lost.url}/failures?adapter={LOSER}&search=%3Cscript%3E")
    this = page.get_by_role("region", name=f"Lost: {LOSER}").first
    other = page.get_by_role("region", name=f"Preferred: {WINNER}").first
    expect(this.get_by_text("<script>document.title")).to_be_visible()
    assert this.locator("img, script, a").count() == 0
    assert page.title() != "taken"
    above, below = this.bounding_box(), other.bounding_box()
    assert below["y"] >= above["y"] + above["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
