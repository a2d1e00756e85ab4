"""The admin's pages at the desk: flags, pairs set aside, decisions, audit, batches, erasing."""

import pytest
from sqlalchemy import select

from annotate_app import session as app_session
from db import audit, batches, flags, labeling, notices, people, set_aside
from db.models import (
    Adjudication,
    Annotator,
    AnnotatorKind,
    AuditEntry,
    Batch,
    Comparison,
    Flag,
    Judgment,
    Role,
    SetAside,
)
from tests.annotate_app.test_dashboards import finding, ledger, show, words
from tests.db import filling

__all__ = ["ledger"]


@pytest.fixture
def desk(ledger, monkeypatch):
    """Ada, an admin who judges nothing; ann and bob, who judge; three pairs wanted twice."""
    with ledger.begin() as session:
        ada = people.put_annotator(session, "Ada", role="admin").id
        filling.persona(session)
        filling.batch(session, pairs=3, overlap=2)
        filling.crowd(session, ["ann", "bob"])
    me = app_session.Me(ada, "Ada", Role.ADMIN, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: me)
    return ledger


def ids(session):
    """People's ids by name."""
    return dict(session.execute(select(Annotator.name, Annotator.id)).tuples().all())


def pairs(session):
    """The pairs' ids."""
    return list(session.scalars(select(Comparison.id).order_by(Comparison.id)))


def disagree(make):
    """ann and bob judge one pair, each the other way; gives its id."""
    with make.begin() as session:
        pair = pairs(session)[0]
        for other in pairs(session)[1:]:
            batches.set_overlap(session, session.get_one(Comparison, other), 0)
        for name, canonical in (("ann", "a"), ("bob", "b")):
            shown = labeling.claim(session, ids(session)[name])
            verdict = canonical if shown.placement > 0 else {"a": "b", "b": "a"}[canonical]
            labeling.judge(
                session,
                shown.token,
                ids(session)[name],
                verdict,
                comment=f"{name} has a reason",
                min_dwell=False,
            )
        return pair


def test_a_quiet_desk_says_that_nothing_waits(desk):
    page = show("flags")
    assert finding(page) == "Nothing needs you now"
    assert "No flag waits" in words(page)
    for where in ("Set aside", "Disagreements", "Resolved"):
        assert not show("flags", desk=where).exception


def test_a_flag_is_resolved_with_words_and_its_pair_leaves_the_queue(desk):
    with desk.begin() as session:
        flag = flags.raise_flag(
            session, pairs(session)[0], ids(session)["ann"], "unsafe", "<script>alert(1)</script>"
        ).id
    page = show("flags")
    assert finding(page) == "1 flag waits"
    assert any("old says 0" in str(block.value) for block in page.get("html"))
    assert not any("<script>" in str(block.value) for block in page.markdown)
    page.button(key=f"done-{flag}").click().run()
    assert "few words" in page.error[0].value
    page.text_input(key=f"words-{flag}").set_value("took it out")
    page.checkbox(key=f"stop-{flag}").check()
    page.button(key=f"done-{flag}").click().run()
    assert finding(page) == "Nothing needs you now"
    with desk() as session:
        row = session.get_one(Flag, flag)
        assert (row.resolution, row.resolved_by) == ("took it out", "Ada")
        assert session.get_one(Comparison, row.comparison_id).overlap == 0
    assert "took it out" in words(show("flags", desk="Resolved"))


@pytest.mark.parametrize(("button", "decision"), [("release", "released"), ("drop", "dropped")])
def test_a_pair_set_aside_is_released_or_dropped(desk, button, decision):
    with desk.begin() as session:
        pair = pairs(session)[0]
        set_aside.put(session, session.get_one(Comparison, pair), "A says “as old”")
    page = show("flags", desk="Set aside")
    assert finding(page) == "1 pair is set aside"
    assert "A says “as old”" in words(page)
    page.button(key=f"{button}-{pair}").click().run()
    with desk() as session:
        assert session.get_one(SetAside, pair).decision == decision
        assert session.get_one(Comparison, pair).seats == (2 if button == "release" else 0)


def test_a_disagreement_is_answered_blind_before_the_opinions_are_shown(desk):
    pair = disagree(desk)
    page = show("flags", desk="Disagreements")
    assert finding(page) == "1 disagreement to decide"
    told = words(page)
    assert "ann has a reason" not in told
    assert "bob" not in told
    page.button(key=f"case-a-1-{pair}").click().run()
    assert "ann has a reason" in words(page)
    assert "bob has a reason" in words(page)
    page = show("flags", desk="Disagreements")  # another tab, or a reload: the answer is kept
    assert "ann has a reason" in words(page) and "You say: **A is better**" in words(page)
    page.selectbox(key=f"final-{pair}").set_value(("tie", None))
    page.text_input(key=f"why-{pair}").set_value("they are alike")
    page.button(key=f"settle-{pair}").click().run()
    assert not page.exception
    assert finding(page) == "Nothing needs you now"
    with desk() as session:
        rows = session.scalars(select(Adjudication).order_by(Adjudication.id)).all()
        assert rows[0].verdict.value in {"a", "b"}
        assert (rows[1].verdict.value, rows[1].note) == ("tie", "they are alike")
        assert len(rows[1].judgments) == 2


def test_a_case_left_for_later_can_be_looked_at_again(desk):
    pair = disagree(desk)
    page = show("flags", desk="Disagreements")
    page.button(key=f"case-later-{pair}").click().run()
    assert "You left them for later" in words(page)
    next(each for each in page.button if each.label == "Look at them again").click().run()
    assert page.button(key=f"case-a-1-{pair}")


def test_who_is_no_admin_any_more_changes_nothing(desk, monkeypatch):
    with desk.begin() as session:
        flag = flags.raise_flag(session, pairs(session)[0], ids(session)["ann"], "broken", None).id
    page = show("flags")
    page.text_input(key=f"words-{flag}").set_value("fine")
    ann = app_session.Me(2, "ann", Role.EVALUATOR, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: ann)
    page.button(key=f"done-{flag}").click().run()
    with desk() as session:
        assert session.get_one(Flag, flag).resolved_at is None


def test_a_notice_is_put_away(desk):
    with desk.begin() as session:
        set_aside.put(session, session.get_one(Comparison, pairs(session)[0]), "A says “I”")
    page = show("flags")
    away = [each for each in page.button if each.label == "Put away"]
    assert len(away) == 1
    away[0].click().run()
    assert not [each for each in page.button if each.label == "Put away"]


def test_an_empty_audit_says_what_will_be_written_here(ledger):
    assert finding(show("audit")) == "Nothing was done yet"


def test_the_audit_is_newest_first_and_narrowed_by_its_address(desk):
    with desk.begin() as session:
        for number in range(60):
            audit.record(session, "Ada", "resolve flag", f"comparison {number}", words="<b>x</b>")
        audit.record(session, "Bo", "erase", "annotator-7")
    page = show("audit")
    assert finding(page).startswith("Bo was the last to act: erase")
    assert "1 to 50 of 62 acts, newest first" in words(page)
    said = words(page)
    assert said.index("annotator\\-7") < said.index("comparison 59") < said.index("comparison 58")
    assert "<b>" not in said
    page = show("audit", act="resolve flag", subject="comparison 5", since="24 hours")
    assert page.selectbox(key="act").value == "resolve flag"
    assert "11 acts, newest first" in words(page)
    assert "No act like that" in words(show("audit", subject="nobody"))
    assert len(page.get("download_button")) == 2


def new_batch(name="winter"):
    """The form as filled in, but for its button."""
    page = show("batches", new="true")
    return page.text_input(key="batch-name").set_value(name).run()


def test_the_form_counts_while_it_is_filled_in_and_makes_the_batch(desk):
    page = show("batches", new="true")
    assert "3 comparisons on 3 prompts, 3 judgments in all" in words(page)
    assert page.button(key="make-batch").disabled
    page = new_batch()
    number = {each.label: each for each in page.number_input}
    number["Judgments a pair"].set_value(2)
    number["Extra where they disagree"].set_value(1)
    number["Gold, %"].set_value(10)
    number["At most, pairs"].set_value(2)
    page.multiselect(key="batch-adapters-playful_sidekick")
    {each.label: each for each in page.multiselect}["Only for"].set_value(["ann"])
    page.run()
    assert "2 comparisons on 2 prompts, 4 judgments in all" in words(page)
    page.button(key="make-batch").click().run()
    assert not page.exception
    assert "winter is made" in page.success[0].value
    with desk() as session:
        made = session.scalars(select(Batch).where(Batch.name == "winter")).one()
        assert (made.overlap, made.extra_overlap, made.gold_rate) == (2, 1, 0.1)
        assert (made.named_only, made.strategy, made.random_share) == (True, "informative", 0.2)
        assert session.scalar(select(AuditEntry.actor).where(AuditEntry.act == "make batch"))


def test_a_name_that_is_taken_is_refused_before_the_press(desk):
    page = new_batch("batch")
    assert "choose another name" in page.warning[0].value
    assert page.button(key="make-batch").disabled


def test_nothing_to_compare_is_said_with_what_to_do(desk):
    page = new_batch()
    page.multiselect(key="batch-adapters-playful_sidekick").set_value(
        ["playful_sidekick-new"]
    ).run()
    assert "There is nothing to compare" in words(page)
    assert page.button(key="make-batch").disabled


def test_a_batch_is_closed_and_opened_again(desk):
    page = show("batches")
    page.button(key="close-1").click().run()
    with desk() as session:
        assert session.get_one(Batch, 1).state == "closed"
    page.button(key="open-1").click().run()
    with desk() as session:
        assert session.get_one(Batch, 1).state == "open"


def test_erasing_takes_two_steps_and_says_what_stays(desk):
    disagree(desk)
    page = show("people")
    assert "Backups and exports" in words(page).replace("\\", "")
    page.selectbox(key="erase-who").set_value("ann").run()
    assert page.button(key="erase").disabled
    page.text_input(key="erase-typed").set_value("an").run()
    assert page.button(key="erase").disabled
    page.text_input(key="erase-typed").set_value("ann").run()
    page.button(key="erase").click().run()
    assert not page.exception
    assert "1 judgment stays, 1 comment blanked" in page.success[0].value
    with desk() as session:
        assert "ann" not in ids(session)
        assert set(session.scalars(select(Judgment.comment))) == {None, "bob has a reason"}


def test_nobody_is_offered_to_erase_themselves(desk):
    assert "Ada" not in show("people").selectbox(key="erase-who").options


def test_people_shows_who_is_paused_until_it_is_put_away(desk):
    with desk.begin() as session:
        ann = ids(session)["ann"]
        notices.tell(session, "paused", f"annotator {ann}", "paused by the rule on gold")
    page = show("people")
    assert "**ann** paused by the rule on gold" in words(page)
    next(each for each in page.button if each.label == "Put away").click().run()
    assert "paused by the rule" not in words(page)


def test_somebody_is_paused_with_words_for_them_and_signed_out_on_people(desk):
    with desk.begin() as session:
        people.redeem(session, people.invite(session, "ann"))
        ann = ids(session)["ann"]
    page = show("people")
    page.text_input(key=f"why-paused-{ann}").set_value("Let us talk first.")
    page.button(key=f"pause-{ann}").click().run()
    assert "ann is handed no pair until you resume them" in page.success[0].value
    assert "Let us talk first" in words(page)
    page.button(key=f"sign-out-{ann}").click().run()
    assert "signed out in every browser" in page.success[0].value
    with desk() as session:
        found = session.get_one(Annotator, ann)
        assert (found.paused_reason, found.active) == ("Let us talk first.", True)
        done = [(each.act, each.subject) for each in audit.entries(session)]
        assert done[:2] == [("sign out", "ann"), ("pause", "ann")]
