"""An admin's day in a real browser: make a batch, invite, see a flag, decide, find it in Audit."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from db import labeling, people
from db.models import Annotator, Comparison, Judgment
from db.session import sessions
from tests.e2e.labeling import next_pair, ready

pytestmark = pytest.mark.browser


def _second_opinion(database: str) -> None:
    """Nils judges the pair that Mona judged, and says the opposite."""
    with sessions(database).begin() as session:
        mona = session.scalars(
            select(Judgment)
            .join(Annotator, Annotator.id == Judgment.annotator_id)
            .where(Annotator.name == "Mona")
        ).one()
        batch = session.get_one(Comparison, mona.comparison_id).batch_id
        nils = people.put_annotator(session, "Nils").id
        while (shown := labeling.claim(session, nils, batch_id=batch)) is not None:
            if shown.comparison_id == mona.comparison_id:
                other = "b" if mona.verdict.value == "a" else "a"
                side = other if shown.placement > 0 else {"a": "b", "b": "a"}[other]
                labeling.judge(session, shown.token, nils, side, min_dwell=False)
                return
            labeling.skip(session, shown.token, nils)


def test_an_admin_makes_a_batch_invites_sees_a_flag_decides_and_finds_it_in_audit(
    served: Any, sign_in: Any, screenshots: Any
) -> None:
    ada = sign_in("Ada", "admin")
    expect(ada.get_by_role("link", name="Label").first).to_be_visible()

    ada.goto(f"{served.url}/batches?new=true")
    ada.get_by_label("Name", exact=True).first.fill("refunds")
    ada.get_by_label("Name", exact=True).first.press("Enter")
    ada.get_by_label("Judgments a pair").first.fill("2")
    ada.get_by_label("Judgments a pair").first.press("Enter")
    priority = ada.locator(".st-key-batch-priority input")
    priority.fill("5")
    priority.press("Enter")
    expect(ada.get_by_text("80 judgments in all")).to_be_visible()
    ada.get_by_role("button", name="Make the batch").click()
    expect(ada.get_by_text("refunds is made", exact=False)).to_be_visible()

    ada.goto(f"{served.url}/people")
    ada.get_by_label("Name", exact=True).first.fill("Mona")
    ada.get_by_role("button", name="Make a link").click()
    code = ada.locator("code", has_text=re.compile("/invite/"))
    expect(code).to_be_visible()
    context = ada.context.browser.new_context(viewport={"width": 1280, "height": 800})
    mona = context.new_page()
    mona.goto(str(code.text_content()).strip())
    token = ready(mona)
    mona.keyboard.press("f")
    mona.get_by_role("combobox", name="Flag a problem").select_option("unsafe")
    mona.keyboard.press("Escape")
    mona.keyboard.press("2")
    next_pair(mona, token)
    context.close()
    _second_opinion(served.database)

    ada.goto(f"{served.url}/flags")
    expect(
        ada.get_by_role("heading", name=re.compile("1 flag waits, 1 disagreement"))
    ).to_be_visible()
    expect(ada.get_by_text("Mona").first).to_be_visible()
    ada.get_by_label("What was done about it").fill("read it; nothing unsafe")
    ada.get_by_role("button", name="Resolve").click()
    expect(ada.get_by_text("The flag is resolved")).to_be_visible()

    ada.goto(f"{served.url}/flags?desk=Disagreements")
    ada.get_by_role("button", name="A is better").click()
    expect(ada.get_by_text("The annotators said")).to_be_visible()
    ada.reload()
    expect(ada.get_by_text("The annotators said")).to_be_visible()  # the blind answer is kept
    ada.screenshot(path=screenshots / "admin-decides.png", full_page=True)
    ada.get_by_role("button", name="Decide").click()
    expect(ada.get_by_role("heading", name="Nothing needs you now")).to_be_visible()

    ada.goto(f"{served.url}/audit?who=Ada")
    for act in ("make batch", "invite", "resolve flag", "answer blind", "adjudicate"):
        expect(ada.get_by_text(re.compile(rf"Ada\W+{act}")).first).to_be_visible()
    ada.screenshot(path=screenshots / "admin-audit.png", full_page=True)
