"""The failure explorer: finding, filters in the address, pages, hostile texts, empty states."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import training.engine  # noqa: F401 - AppTest puts app_pages/ first, where training.py is a page
from annotate_app import (
    failure_numbers,
    failure_parts,
    failure_queries,
    interval_charts,
    panels,
    work_queries,
)
from annotate_app import session as app_session
from db import adapters, batches, candidates, labeling, people, prompts
from db.failures import Kind, Scope, Standing, Wish
from db.models import Adjudication, AnnotatorKind, Comparison, Role
from db.session import close_database, sessions, upgrade
from tests.annotate_app import seeding

PAGE = Path(app_session.__file__).parent / "app_pages" / "failures.py"
SLUG, OLD, NEW = "playful_sidekick", "playful_sidekick-sft-v1", "playful_sidekick-dpo-r1"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> **bold** [x](javascript:alert(3))"


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """An empty ledger of its own; an analyst called Ada is signed in."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    upgrade(url)
    work_queries.forget()
    ada = app_session.Me(1, "Ada", Role.ANALYST, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: ada)
    yield sessions(url)
    close_database(url)


def show(**query: str) -> AppTest:
    """The page at an address; it has raised nothing."""
    work_queries.forget()
    page = AppTest.from_file(str(PAGE), default_timeout=30)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception, page.exception
    return page


def words(page: AppTest) -> str:
    """All that the page says in Markdown, without escapes."""
    parts: list[Any] = [*page.markdown, *page.caption, *page.info, *page.header, *page.code]
    return "\n".join(str(part.value) for part in parts).replace("\\", "").replace("\u2060", "")


def texts(page: AppTest) -> str:
    """All HTML of our own on the page."""
    return "\n".join(each.proto.body for each in page.get("html"))


def heads(page: AppTest) -> list[str]:
    """The first line of each comparison that is shown."""
    return [each.value for each in page.markdown if "against **" in each.value]


def ask(session, verdicts, *, name="blind", journey=None, text="old says {}", **details):
    """Comparisons of the old adapter with the new one, judged by one person each."""
    if name not in {batch.name for batch in session.query(seeding.Batch)}:
        batches.open_batch(session, name=name, kind="blind", persona=SLUG)
    into = session.query(seeding.Batch).filter_by(name=name).one()
    (person, *_) = seeding.people(session, 1, 0)
    for number, verdict in enumerate(verdicts, session.query(Comparison).count()):
        prompt = prompts.put_prompt(
            session,
            [{"role": "user", "content": f"{name} {journey} {number}?"}],
            journey=journey,
            intent="reset_password" if number % 2 else None,
        )
        one, two = (
            candidates.put_candidate(
                session, prompt_id=prompt.id, persona=SLUG, adapter_id=adapter, text=said, seed=1
            )
            for adapter, said in ((OLD, text.format(number)), (NEW, f"new says {number}"))
        )
        batches.put_comparison(session, into, one, two)
        shown = labeling.claim(session, person.id, batch_id=into.id)
        assert shown is not None
        seen = verdict
        if verdict in ("won", "lost"):
            old_first = shown.response_a == text.format(number)
            seen = "a" if old_first == (verdict == "won") else "b"
        labeling.judge(session, shown.token, person.id, seen, min_dwell=False, **details)


@pytest.fixture
def world(ledger):
    """The adapter that answers lost 23 of 42, twelve times over the tone, mostly in complaints."""
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        seeding.put_adapter(session, SLUG, NEW, "dpo", seeding.utcnow())
        ask(session, ["lost"] * 12, journey="complaints", tags=["Better tone"], comment="50 % off")
        ask(session, ["lost"] * 11, journey="onboarding", strength=2)
        ask(session, ["won"] * 17, journey="onboarding", tags=["Clearer"])
        ask(session, ["both_bad", "tie"], name="odd", flag="broken")
    return ledger


def test_an_empty_ledger_says_that_there_is_no_adapter(ledger):
    page = show()
    assert page.header[0].value == "There is no adapter here yet"
    assert "personaloop init --sample" in words(page)


def test_an_adapter_that_nobody_judged_says_where_judgments_come_from(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
    page = show(persona="Luxury Curator")
    assert "No comparison of sft-v1 has been judged yet for Luxury Curator" in words(page)
    assert "Label" in words(page)
    assert not heads(page)


def test_the_opening_says_how_often_it_lost_and_over_what(world):
    said = words(show())
    assert (
        "Sft-v1 lost 23 of 42 comparisons for Playful Sidekick, most often over “Better tone” (12)"
        in said
    )
    assert "42 judgments" in said
    assert "answers now" in said
    assert "SIMULATED" not in said


def test_the_persona_whose_adapter_lost_most_opens(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, persona_slugs=("technical_advisor",), rounds=1, blind=30)
    page = show()
    assert page.selectbox(key="persona").value == "technical_advisor"
    assert page.selectbox(key="adapter").value == "technical_advisor-sft-v1"


def test_an_adapter_that_never_lost_says_so(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        seeding.put_adapter(session, SLUG, NEW, "dpo", seeding.utcnow())
        ask(session, ["won", "won", "tie"])
    page = show(persona="Playful Sidekick")
    assert "lost none of 3 comparisons" in words(page)
    assert "No loss to explain" in words(page)
    assert "No lost comparison" in words(page)
    assert not heads(page)


def test_the_list_is_cut_into_pages_and_the_page_is_in_the_address(world):
    first = show()
    assert len(heads(first)) == 10
    assert first.pagination[0].value == 1
    assert "1 to 10 of 23 lost comparisons" in words(first)
    last = show(page="3")
    assert "21 to 23 of 23" in words(last)
    assert len(heads(last)) == 3
    seen = {head for number in "123" for head in heads(show(page=number))}
    assert len(seen) == 23


@pytest.mark.parametrize("page", ["0", "99", "-1", "x", "1e9"])
def test_a_page_that_is_not_there_is_another_page(world, page):
    assert heads(show(page=page))


def test_another_filter_begins_at_the_first_page(world):
    page = show(page="3")
    page.selectbox(key="show").select(Kind.MUCH).run()
    assert page.pagination[0].value == 1
    assert "1 to 10 of 11 comparisons lost by much" in words(page)


def test_another_persona_has_adapters_of_its_own(world):
    page = show()
    page.selectbox(key="persona").select("technical_advisor").run()
    assert not page.exception
    assert page.selectbox(key="adapter").value == "technical_advisor-sft-v1"


def test_filters_come_from_the_address(world):
    page = show(persona="Playful Sidekick", adapter="dpo-r1", show="lost", order="newest first")
    assert "Dpo-r1 lost 17 of 42 comparisons" in words(page)
    page = show(reason="Better tone", search="BLIND complaints 3?")
    assert len(heads(page)) == 1
    page = show(show="flagged")
    assert len(heads(page)) == 2
    assert "Flagged 1 of 1" in words(page)
    page = show(show="both bad")
    assert "Both bad 1 of 1" in words(page)


def test_an_address_with_nonsense_shows_what_loses_most(world):
    page = show(persona="<script>", adapter="'; drop table", show="x", reason="y", round="7000")
    assert page.selectbox(key="persona").value == SLUG
    assert "lost 23 of 42" in words(page)


def test_wildcards_are_searched_as_they_are_written(world):
    assert len(heads(show(search="50 %"))) == 10
    assert "12 lost comparisons" in words(show(search="50 % off"))
    page = show(search="50_%")
    assert not heads(page)
    assert "No lost comparison under these filters" in words(page)


def test_why_and_where_are_charted_with_their_intervals(world):
    said = words(show())
    assert "“Better tone” is given most often: over 12 of 23 lost comparisons" in said
    assert "Weakest in complaints: wins 0 %" in said
    assert len(show(by="intent").get("vega_lite_chart")) == 2


def test_prompts_without_a_journey_say_so(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        seeding.put_adapter(session, SLUG, NEW, "dpo", seeding.utcnow())
        ask(session, ["lost", "won"])
    said = words(show(persona="Playful Sidekick"))
    assert "These prompts name no journey" in said
    assert "Nobody said why" in said


def test_hostile_texts_stay_texts(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        adapters.put_adapter(session, id=NEW, kind="external", persona=SLUG)
        ask(session, ["lost"], text=HOSTILE + "{}", comment=HOSTILE, name="<b>:red[x]</b>")
    page = show(persona="Playful Sidekick", search="<script>")
    html = texts(page)
    assert "&lt;script&gt;" in html
    for tag in ("<script", "<img", "<a ", "onerror=alert(2)>"):
        assert tag not in html
    raw = "\n".join(str(each.value) for each in page.markdown)
    assert "](javascript" not in raw
    assert "**bold**" not in raw
    assert ":red[" not in raw.replace("red-badge", "")


def test_simulated_judgments_are_named_and_can_be_left_out(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=1, judged=4, blind=30, humans=2, simulated=6)
    page = show(persona="Playful Sidekick")
    assert "SIMULATED" in words(page)
    assert any("SIMULATED" in head for head in heads(page))
    page = show(persona="Playful Sidekick", people="true")
    assert "SIMULATED" not in words(page)


def test_pairs_of_one_adapter_are_shown_against_itself_only(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=1, judged=20, blind=0)
    page = show(persona="Playful Sidekick", against="itself")
    assert "One of two responses of the start was preferred in" in words(page)
    assert "No win rate against itself" in words(page)
    assert "Preferred: its other response" in texts(page)


def test_only_analysts_see_it(world, monkeypatch):
    eve = app_session.Me(2, "Eve", Role.EVALUATOR, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: eve)
    page = show()
    assert "This page is for the role" in words(page)
    assert not heads(page)


def test_comparisons_without_a_persona_can_be_chosen(ledger):
    with ledger.begin() as session:
        who = seeding.people(session, 3, 0)
        for name in ("gpt", "llama"):
            adapters.put_adapter(session, id=name, kind="external")
        batch = seeding.open_batch(session, "imported", "imported", None, seeding.utcnow())
        seeding.ask(
            session, Random(1), batch, None, ("gpt", "llama"), 20, who, {"gpt": -9.0},
            seeding.utcnow(),
        )  # fmt: skip
    page = show(adapter="gpt")
    assert "Gpt lost " in words(page)


def test_everything_listed_fits_a_file_and_nothing_in_it_is_a_formula(world):
    scope = Scope(OLD, SLUG)
    found = failure_queries.for_a_file(scope, Wish())
    assert len(found) == 23
    flat = failure_numbers.file_frame(found, {"adapter": "=1+1"})
    assert "\n'=1+1," in panels.to_csv(flat)
    nested = failure_numbers.file_frame(found, {}, nested=True)
    rows = json.loads(panels.to_json(nested))
    assert rows[0]["judged"][0]["preferred"].startswith("the other")
    assert rows[0]["prompt"][0]["role"] == "user"
    assert failure_numbers.file_frame([], {}).empty


def test_a_file_is_cut_where_the_list_is_too_long_and_the_page_says_so(world, monkeypatch):
    monkeypatch.setattr(failure_queries, "MOST_IN_A_FILE", 5)
    assert len(failure_queries.for_a_file(Scope(OLD, SLUG), Wish())) == 5
    assert "the first 5 in this order" in words(show())


def test_pages_beyond_the_first_stretch_are_read_from_the_next(world, monkeypatch):
    monkeypatch.setattr(failure_queries, "STRETCH", 10)
    scope = Scope(OLD, SLUG)
    pages = [failure_queries.page(scope, Wish(), number) for number in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [10, 10, 3, 0]
    assert len({each.standing.comparison for page in pages for each in page}) == 23


def test_a_new_judgment_is_seen_at_once(world):
    scope = Scope(OLD, SLUG)
    before = failure_queries.summary(scope).total("lost")
    with world.begin() as session:
        ask(session, ["lost"], name="later")
    assert failure_queries.summary(scope).total("lost") == before + 1


def test_texts_that_an_import_left_out_are_said_to_be_unknown(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        seeding.put_adapter(session, SLUG, NEW, "dpo", seeding.utcnow())
        ask(session, ["lost"])
    found = failure_queries.page(Scope(OLD, SLUG), Wish(), 1)
    html = failure_parts._texts(replace(found[0], known=False), "old", str, False)
    assert "the import did not bring this text" in html


def test_how_a_comparison_stands_is_said_in_words():
    standing = Standing(1, "a", 1, 3, 2, 1, 0, 5, 0, 0, 0)
    say = failure_numbers.outcome_words
    assert say(standing, Kind.LOST) == ("Lost 3 of 5", "2 of them by much, 1 won, 1 tie")
    assert say(standing, Kind.FLAGGED)[1] == "3 lost, 2 lost by much, 1 won, 1 tie"
    sure = Standing(1, "a", 0, 2, 2, 0, 0, 2, 1, 0, 0)
    assert say(sure, Kind.LOST) == ("Lost 2 of 2", "all by much, 1 flagged")


def test_a_chart_of_shares_takes_a_hostile_label_as_data():
    table = failure_numbers.why_frame([("<b>', datum.x", 3), ("plain", 0)], 3)
    assert (table["ci_low"] >= 0).all()
    assert (table["ci_high"] <= 1).all()
    chart = interval_charts.intervals(
        table, title="t", axis_title="Share", unit="comparison", colour="#123456", reference=None
    )
    assert "datum.x" not in json.dumps(
        {key: value for key, value in chart.to_dict().items() if key != "datasets"}
    )


def test_what_an_adjudicator_decided_stands_beside_the_split(world):
    with world.begin() as session:
        pair = session.query(Comparison).order_by(Comparison.id).first()
        old_is_a = pair.candidate_a.adapter_id == OLD
        judge = people.put_annotator(session, "Vera", role="admin")
        session.add(
            Adjudication(
                comparison_id=pair.id,
                annotator_id=judge.id,
                verdict="a" if old_is_a else "b",
                strength=2,
                note="warmer, and *right*",
                judgments=[1],
                placement=1,
            )
        )
    page = show(persona="Playful Sidekick", search="complaints 0")
    decided = [each.value for each in page.markdown if "decided]" in each.value]
    assert len(decided) == 1
    assert "this one, much better: “warmer, and \\*right\\*”" in decided[0]
    assert "by Vera over 1 judgment" in decided[0]
