"""Gold, pauses and returned answers as admins and annotators meet them on pages."""

from pathlib import Path

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

import training.engine  # noqa: F401 - AppTest puts app_pages/ first, where training.py is a page
from annotate_app import session as app_session
from annotate_app import work_queries
from annotate_app.gold_numbers import by_doubt, doubtful, share
from db import audit, gold, labeling, pausing, people, returns
from db.gold import Known
from db.models import Annotator, AnnotatorKind, Batch, Comparison, Judgment, Verdict
from db.session import close_database, sessions, upgrade
from tests.annotate_app import seeding

PAGES = Path(app_session.__file__).parent / "app_pages"


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A seeded ledger; an admin called Ada is signed in."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    upgrade(url)
    make = sessions(url)
    with make.begin() as session:
        seeding.seed_world(session, rounds=1, persona_slugs=["playful_sidekick"], judged=8, blind=8)
    enter(monkeypatch, make, "Ada")
    yield make
    close_database(url)


def enter(monkeypatch, make, name):
    """Sign somebody in."""
    with make() as session:
        one = people.person(session, name)
        who = app_session.Me(one.id, one.name, one.role, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: who)
    work_queries.forget()
    return who


def show(name: str) -> AppTest:
    """The page; it has raised nothing."""
    work_queries.forget()
    page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=30).run()
    assert not page.exception, page.exception
    return page


def press(page: AppTest, label: str) -> AppTest:
    """Press the first button of this label."""
    next(each for each in page.button if each.label == label).click().run()
    assert not page.exception, page.exception
    return page


def words(page: AppTest) -> str:
    """All that the page says."""
    parts = [*page.markdown, *page.info, *page.error, *page.success, *page.title, *page.header]
    return "\n".join(str(part.value) for part in [*parts, *page.subheader]).replace("\\", "")


def agree(make, verdict: str = "a") -> int:
    """A new pair that three people judge alike; its id."""
    with make.begin() as session:
        into = session.scalars(select(Batch).where(Batch.kind == "label")).one()
        chance, at = seeding.random.Random(1), seeding.utcnow()
        sides = ["playful_sidekick-sft-v1"] * 2
        seeding.ask(session, chance, into, "playful_sidekick", sides, 20, [], {}, at)
        made = session.scalars(
            select(Comparison)
            .where(Comparison.batch_id == into.id, Comparison.seats > 0)
            .order_by(Comparison.id.desc())
            .limit(1)
        ).one()
        for who in seeding.people(session, 4, 0)[1:]:
            seeding.judge_once(session, chance, made, who, {}, at, verdict)
        return made.id


def test_without_gold_the_page_says_how_to_get_some(ledger):
    page = show("gold")
    assert "No gold is mixed in yet" in words(page)
    assert "No judged pair is fit yet" in words(page)
    assert any("--purpose gold" in each.value for each in page.code)


def test_a_pair_that_three_agreed_on_becomes_gold_and_is_retired_on_the_page(ledger):
    pair = agree(ledger, "b")
    page = press(show("gold"), "Make it gold")
    assert "whoever has not met this pair" in words(page)
    assert "1 gold pair; not answered yet" in words(page)
    with ledger() as session:
        (known,) = gold.listed(session)
        made = session.get_one(Comparison, known.comparison_id)
        assert (known.answer, known.purpose) == (Verdict.B, "gold")
        assert made.candidate_a_id == session.get_one(Comparison, pair).candidate_a_id
    assert "Make it gold" not in [each.label for each in page.button]
    page = press(page, "Retire")
    assert "No gold is mixed in yet" in words(page)
    with ledger() as session:
        assert not gold.listed(session)[0].active
        acts = [(each.act, each.actor) for each in audit.entries(session)]
        assert {("gold add", "Ada"), ("gold retire", "Ada")} <= set(acts)


def test_a_batch_gets_its_rates_on_the_page(ledger):
    agree(ledger)
    page = show("gold")
    next(each for each in page.number_input if each.label == "Gold, %").set_value(10).run()
    assert "it holds from the next pair on" in words(page)
    with ledger() as session:
        assert sorted(session.scalars(select(Batch.gold_rate)))[-1] == pytest.approx(0.1)


def test_gold_that_most_people_miss_is_pointed_out_first():
    def known(id: int, right: int, of: int, active: bool = True) -> Known:
        return Known(id, "gold", "gold", None, Verdict.A, right, of, active)

    fine, wrong, young, old = known(1, 4, 5), known(2, 1, 5), known(3, 0, 2), known(4, 0, 9, False)
    assert [each.comparison_id for each in by_doubt([fine, old, young, wrong])] == [2, 3, 1, 4]
    assert [doubtful(each) for each in (fine, wrong, young, old)] == [False, True, False, False]
    assert share(3, 5).said == "right 3 of 5: 60 %, 23 to 88"
    assert share(0, 0).said == "not answered yet"


def test_gold_counts_neither_as_a_batch_nor_as_somebodys_work(ledger):
    before = {each.name: each.judged for each in work_queries.people()}
    pair = agree(ledger)
    with ledger.begin() as session:
        made = gold.add(session, pair, "a", actor="Ada")
        who = people.put_annotator(session, "Zoe")
        seeding.judge_once(session, seeding.random.Random(2), made, who, {}, seeding.utcnow(), "a")
    work_queries.forget()
    after = {each.name: each.judged for each in work_queries.people()}
    assert after["Zoe"] == 0
    assert after["Bruno"] == before["Bruno"] + 1
    assert not [each for each in work_queries.batches() if each.name.startswith("gold")]


def test_who_is_paused_heads_the_people_page_and_is_resumed_there(ledger):
    with ledger.begin() as session:
        people.invite(session, "Bruno")
        people.invite(session, "Chiara")
        pausing.pause(session, people.person(session, "Chiara"), "Let us talk.", actor="Ada")
    page = show("people")
    assert "1 person is paused" in words(page)
    assert "Let us talk." in words(page)
    page = press(page, "Resume")
    assert "Chiara can judge again" in words(page)
    with ledger() as session:
        assert people.person(session, "Chiara").paused_at is None
        assert audit.entries(session)[0].act == "resume"


def test_an_admin_returns_a_judgment_from_failures_and_its_annotator_revises_it(
    ledger, monkeypatch
):
    page = show("failures")
    note = next(each for each in page.text_input if each.label == "What to look at again")
    which = next(each for each in page.selectbox if each.label == "Judgment")
    note.set_value("Read B to its end.")
    page = press(page, "Return it")
    assert "back with its annotator" in words(page)
    with ledger() as session:
        judgment = session.get_one(Judgment, which.value)
        who = session.get_one(Annotator, judgment.annotator_id).name
        assert [each.note for each in returns.waiting(session, judgment.annotator_id)] == [
            "Read B to its end."
        ]
    me = enter(monkeypatch, ledger, who)
    page = show("my_history")
    assert "1 answer to look at again" in words(page)
    assert "Read B to its end." in words(page)
    next(each for each in page.button if each.label == "Revise").click()
    page.run()  # goes to Label, which a page that runs alone has not
    with ledger.begin() as session:
        shown = labeling.claim(session, me.id)
        assert shown.revising
        labeling.judge(session, shown.token, me.id, "tie", min_dwell=False)
        assert returns.count(session, me.id) == 0


def test_failures_offers_no_return_to_an_analyst(ledger, monkeypatch):
    with ledger.begin() as session:
        people.set_role(session, "Bruno", "analyst")
    enter(monkeypatch, ledger, "Bruno")
    assert "Return it" not in [each.label for each in show("failures").button]


def test_a_return_without_a_note_is_refused_in_words(ledger):
    assert "say in a sentence" in words(press(show("failures"), "Return it")).lower()


def test_a_paused_annotator_reads_why_and_goes_on_without_a_reload(ledger, monkeypatch):
    me = enter(monkeypatch, ledger, "Chiara")
    with ledger.begin() as session:
        pausing.pause(session, people.person(session, "Chiara"), "Let us talk.", actor="Ada")
    page = show("label")
    assert "Judging is paused for you. Let us talk." in words(page)
    with ledger.begin() as session:
        pausing.resume(session, people.person(session, "Chiara"), actor="Ada")
    page.run()
    assert "Judging is paused" not in words(page)
    with ledger.begin() as session:
        assert labeling.claim(session, me.id) is not None


def test_the_annotators_page_shows_answers_to_gold_batches(ledger):
    pair = agree(ledger)
    with ledger.begin() as session:
        made = gold.add(session, pair, "a", actor="Ada")
        who = people.person(session, "Ada")
        seeding.judge_once(session, seeding.random.Random(2), made, who, {}, seeding.utcnow(), "b")
    page = show("annotators")
    (table,) = [each.value for each in page.table if "Gold right, %" in each.value.columns]
    rows = dict(zip(table["Annotator"], table["Gold right, %"], strict=True))
    assert rows["Ada"].startswith("0 %, 0 to")
