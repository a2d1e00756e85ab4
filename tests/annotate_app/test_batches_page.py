"""The Batches page: time to finish, order, for whom, and pairs in hand, as an admin meets them."""

from datetime import timedelta

import pytest
import streamlit as st
from sqlalchemy import select

from annotate_app import session as app_session
from db import audit, labeling, people, reassigning
from db.clock import utcnow
from db.models import AnnotatorKind, Batch, Role
from tests.annotate_app.test_dashboards import ledger, show, words
from tests.db import filling

__all__ = ["ledger"]


@pytest.fixture
def desk(ledger, monkeypatch):
    """Ada, an admin; a batch of forty pairs of which Ann holds one; Bo is there too."""
    with ledger.begin() as session:
        ada = people.put_annotator(session, "Ada", role="admin").id
        filling.persona(session)
        filling.batch(session, pairs=40)
        ann, _ = filling.crowd(session, ["Ann", "Bo"])
        for name in ("Ann", "Bo"):
            people.invite(session, name)
        assert labeling.claim(session, ann) is not None
    me = app_session.Me(ada, "Ada", Role.ADMIN, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: me)
    st.cache_data.clear()
    return ledger


def opened():
    """The page with the details of its one batch unfolded."""
    page = show("batches")
    page.toggle(key="details-1").set_value(True).run()
    assert not page.exception, page.exception
    return page


def acts(make):
    """What was done, newest first."""
    with make() as session:
        return [(each.act, each.subject, each.actor) for each in audit.entries(session)]


def test_the_time_to_finish_is_told_with_a_range_or_not_at_all(desk):
    assert "not enough judgments yet to tell how long" in words(show("batches"))
    began = utcnow() - timedelta(hours=5)
    with desk.begin() as session:
        ann = people.person(session, "Ann").id
        for number in range(20):
            filling.judge_next(session, ann, now=began + timedelta(minutes=15 * number))
    st.cache_data.clear()
    said = words(show("batches")).replace("\\", "")
    assert "about 5 hours (" in said and "at its pace of the last 5 hours" in said
    assert "20 by people in the last day" in said


def test_order_and_judgments_a_pair_are_changed_on_the_page(desk):
    page = opened()
    page.selectbox(key="strategy-1-listed").set_value("random").run()
    page.number_input(key="overlap-1-1").set_value(2).run()
    page.button(key="rank-1").click().run()
    assert not page.exception
    with desk() as session:
        batch = session.scalars(select(Batch)).one()
        assert (batch.strategy, batch.overlap) == ("random", 2) and batch.ranked_at is not None
    assert "put in this order just now" in words(page).replace("\\", "")
    done = acts(desk)
    assert done.count(("rank batch", "batch", "Ada")) == 2 and done[1][0] == "batch overlap"


def test_a_pair_in_hand_is_given_to_somebody_else_and_taken_back(desk):
    page = opened()
    assert "1 pair in hand" in words(page)
    page.selectbox(key="give-1-Ann").set_value("Bo").run()
    assert "next pair on Bo’s page".replace("’", "'") in words(page).replace("\\", "")
    with desk() as session:
        assert [each.annotator for each in reassigning.held(session, 1)] == ["Bo"]
    page.button(key="take-1-Bo").click().run()
    assert "Nobody holds a pair of it now" in words(page)
    assert [act for act, _, _ in acts(desk)][:2] == ["take back", "reassign"]


def test_the_rest_of_a_batch_is_given_to_people_by_name(desk):
    page = opened()
    assert page.button(key="give-rest-1").disabled
    page.multiselect(key="for-1-").set_value(["Bo"]).run()
    page.button(key="give-rest-1").click().run()
    assert "batch is for Bo from now on" in words(page).replace("\\", "")
    assert "for named people only" in words(page)
    with desk() as session:
        assert reassigning.named_for(session, 1) == ["Bo"]
        assert reassigning.held(session, 1) == []


def test_a_refusal_is_said_and_changes_nothing(desk):
    page = opened()
    with desk.begin() as session:
        assert labeling.claim(session, people.person(session, "Bo").id) is not None
    page.selectbox(key="give-1-Ann").set_value("Bo").run()
    assert "has another pair before them" in page.error[0].value
    with desk() as session:
        assert len(reassigning.held(session, 1)) == 2
