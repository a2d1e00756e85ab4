"""The analyst's and operator's pages on empty, small, disconnected, simulated and hostile data."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import training.engine  # noqa: F401 - AppTest puts app_pages/ first, where training.py is a page
from annotate_app import queries, readiness_part, work_queries
from annotate_app import session as app_session
from db.models import AnnotatorKind, Role
from db.session import close_database, sessions, upgrade
from preference.readiness import Limits
from tests.annotate_app import seeding

PAGES = Path(app_session.__file__).parent / "app_pages"
EVERY = [
    "overview",
    "ratings",
    "win_rates",
    "failures",
    "annotators",
    "checks",
    "rounds",
    "batches",
    "training",
    "adapters",
    "people",
    "flags",
    "gold",
    "audit",
]


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """An empty ledger of its own; an admin called Ada is signed in."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    upgrade(url)
    work_queries.forget()
    ada = app_session.Me(1, "Ada", Role.ADMIN, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: ada)
    yield sessions(url)
    close_database(url)


def show(name: str, **query: str) -> AppTest:
    """The page as Ada sees it; it has raised nothing."""
    work_queries.forget()
    page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=30)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception, page.exception
    return page


def words(page: AppTest) -> str:
    """All that the page says in Markdown, notices and captions."""
    parts: list[Any] = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error]
    return "\n".join(str(part.value) for part in [*parts, *page.success, *page.title])


def finding(page: AppTest) -> str:
    """The sentence that the page opens with, without escapes."""
    return page.header[0].value.replace("\\", "")


def test_an_empty_ledger_is_explained(ledger):
    for name in EVERY:
        page = show(name)
        assert finding(page), name
        if name in ("overview", "ratings"):
            assert "0 judgments" in words(page)


def test_nothing_judged_says_how_to_begin(ledger):
    page = show("overview")
    assert finding(page) == "No judgments yet"
    assert any("personaloop users invite" in block.value for block in page.code)


def test_every_page_stands_on_three_rounds(ledger, tmp_path):
    with ledger.begin() as session:
        seeding.seed_world(session, tmp_path, judged=12, blind=20)
    for name in EVERY:
        assert finding(show(name)), name


def test_overview_opens_with_the_challenger_and_its_interval(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=4, blind=40, gains=(3.0, 3.0, 3.0))
    said = finding(show("overview"))
    assert "Round 3 beats round 2 for" in said
    assert "%, " in said
    assert " to " in said


def test_simulated_judgments_are_named_plainly_on_every_page_of_results(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=12, blind=12, humans=3, simulated=4)
    for name in ("overview", "ratings", "rounds", "training", "adapters", "batches"):
        assert "SIMULATED" in words(show(name)), name


def test_pages_without_simulated_judgments_do_not_mention_them(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12)
    for name in ("overview", "ratings", "rounds"):
        assert "SIMULATED" not in words(show(name)), name


def test_people_only_leaves_simulated_judgments_out(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=12, blind=12, humans=3, simulated=4)
    page = show("ratings", people="true")
    assert page.toggle[0].value is True
    assert "SIMULATED" not in words(page)


def test_filters_come_from_the_address(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12)
    page = show("ratings", persona="Technical Advisor", round="2")
    assert page.selectbox(key="persona").value == "technical_advisor"
    assert page.selectbox(key="round").value == "2"
    assert "for Technical Advisor" in finding(page)


def test_an_address_with_nonsense_shows_everything(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12)
    page = show("ratings", persona="<script>", round="99", comparisons="'; drop table")
    assert page.selectbox(key="persona").value == "all"


def test_a_first_round_that_only_compares_one_adapter_explains_itself(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=1, judged=12, blind=0, open_last=True)
    page = show("ratings", comparisons="for training")
    assert "they train" in words(page) or "rating needs two" in words(page)


def test_disconnected_judgments_are_shown_group_by_group(ledger):
    import random

    chance = random.Random(2)
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        who = seeding.people(session, 8, 0)[6:]
        batch = seeding.open_batch(session, "imported", "imported", None, seeding.utcnow())
        for pair in (("model a", "model b"), ("model c", "model d")):
            for name in pair:
                from db.adapters import put_adapter

                put_adapter(session, id=name, kind="external")
            seeding.ask(
                session, chance, batch, None, pair, 20, who, {pair[0]: 0.6}, seeding.utcnow()
            )
    page = show("ratings")
    assert "never compared with each other" in words(page)


def test_a_hostile_name_is_shown_as_it_is(ledger):
    import random

    from db.adapters import put_adapter

    hostile = "<img src=x onerror=alert(1)> **bold** :red[x] [link](http://x)"
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        who = seeding.people(session, 8, 0)[6:]
        batch = seeding.open_batch(session, "imported", "imported", None, seeding.utcnow())
        for name in (hostile, "plain"):
            put_adapter(session, id=name, kind="external")
        seeding.ask(
            session,
            random.Random(3),
            batch,
            None,
            (hostile, "plain"),
            24,
            who,
            {hostile: 1.0},
            seeding.utcnow(),
        )
    said = words(show("ratings"))
    assert "\\*\\*bold" in said
    assert "**bold**" not in said
    assert "](http" not in said


def test_a_persona_whose_challenger_is_still_compared_has_to_wait(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12)
    page = show("training")
    assert page.button(key="retrain-playful_sidekick").disabled
    assert "after that decision" in words(page)
    assert "can be retrained" not in finding(page)


def test_too_few_judgments_for_a_retraining_are_said_before_the_button_is_pressed(
    ledger, monkeypatch
):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        who = seeding.people(session, 3, 0)
        slug, start = "playful_sidekick", "playful_sidekick-sft-v1"
        now = seeding.utcnow()
        batch = seeding.open_batch(session, "more", "label", slug, now)
        seeding.ask(session, Random(7), batch, slug, [start, start], 12, who, {start: 0.0}, now)
    row = queries.usable_pairs().set_index("persona").loc["playful_sidekick"]
    new = int(row["new"])
    assert new > 0
    # Eight judgments are too few for the readiness gate too: here only the pairs are asked about.
    monkeypatch.setattr(readiness_part, "_limits", lambda: Limits(effective=0.0))
    monkeypatch.setattr(work_queries, "minimum_pairs", lambda: new + 3)
    assert "judge 3 more" in words(show("training"))
    monkeypatch.setattr(work_queries, "minimum_pairs", lambda: 1)
    assert "can be retrained" in finding(show("training"))


def test_retrain_button_queues_a_job_and_says_so(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12, open_last=False)
    page = show("training")
    page.button(key="retrain-playful_sidekick").click().run()
    assert not page.exception
    assert "is queued" in words(page)
    assert any(job.live and job.persona == "playful_sidekick" for job in work_queries.jobs())
    again = show("training")
    assert again.button(key="retrain-playful_sidekick").disabled
    number = next(job.id for job in work_queries.jobs() if job.live)
    again.button(key=f"cancel-{number}").click().run()
    assert work_queries.jobs()[0].state == "cancelled"


def test_a_persona_without_judgments_cannot_be_retrained(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12)
    assert show("training").button(key="retrain-formal_concierge").disabled


def test_a_running_job_shows_stage_progress_and_curves(ledger, tmp_path):
    from db.models import JobState, Snapshot

    with ledger.begin() as session:
        seeding.seed_world(session, tmp_path, judged=8, blind=12)
        shot = session.query(Snapshot).first()
        seeding.add_run(
            session,
            tmp_path,
            "technical_advisor",
            9,
            shot,
            "technical_advisor-sft-v1",
            seeding.utcnow(),
            JobState.RUNNING,
        )
    page = show("training")
    said = words(page)
    assert finding(page) == "Technical Advisor is being retrained: 45 % done"
    assert "Loss fell from" in said.replace("\\", "")
    assert not page.warning
    assert {each.label for each in page.expander} <= {"Ready to train on", "The numbers"}


def test_a_run_whose_alarm_rang_says_so_above_its_curves(ledger, tmp_path):
    import json

    from db.models import JobState, Snapshot

    with ledger.begin() as session:
        seeding.seed_world(session, tmp_path, judged=8, blind=12)
        shot = session.query(Snapshot).first()
        told = ("technical_advisor", 9, shot, "technical_advisor-sft-v1", seeding.utcnow())
        seeding.add_run(session, tmp_path, *told, JobState.RUNNING)
    file = tmp_path / "runs" / "technical_advisor-9" / "metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        step = row["step"]
        row |= {"chosen_reward": -0.1 * step, "rejected_reward": -0.2 * step, "kl": 0.3 * step}
        row |= {"kl_base": 3 + 0.3 * step, "chosen_nll": 1.2 + 0.02 * step}
        if step in (7, 8):
            row["alarm"] = "the chosen <b>responses</b> became less likely"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    page = show("training")
    assert not page.exception
    (warning,) = page.warning
    assert warning.value.startswith("At steps 7 to 8 the chosen ")
    assert "<b>" not in warning.value
    said = words(page).replace("\\", "")
    assert "Chosen reward fell from -0.10 to -1.10 in 11 steps" in said
    assert "NLL of what was chosen rose from" in said
    assert "Distance from the reference rose from 0.30 to 3.30" in said


def test_a_job_that_writes_pairs_is_not_called_a_retraining(ledger):
    from db.models import Job

    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        session.add(
            Job(kind="generate", persona_slug="luxury_curator", state="running", progress=0.4)
        )
    assert finding(show("training")) == "New pairs for Luxury Curator are being written: 40 % done"


def test_a_blind_comparison_that_nobody_judged_says_where_to_begin(ledger):
    from db.models import Batch, Comparison, Judgment, Retraction

    with ledger.begin() as session:
        seeding.seed_world(session, rounds=1, judged=8, blind=8)
        judged = session.query(Judgment.id).join(Comparison).join(Batch)
        for (number,) in judged.filter(Batch.kind == "blind").all():
            session.add(Retraction(judgment_id=number, reason="undone"))
    said = words(show("overview"))
    assert "The blind pairs come first" in said
    assert "Share of blind judgments" not in said, "an empty chart says nothing"


def test_imported_annotators_are_no_people_who_can_sign_in(ledger):
    from db import people

    with ledger.begin() as session:
        seeding.seed_world(session, rounds=1, judged=8, blind=0, humans=6)
        people.invite(session, "Zoe", Role.EVALUATOR)
    page = show("people")
    assert finding(page).startswith("1 person can sign in")
    assert [button.label for button in page.button].count("Switch off") == 1
    assert [each.label for each in page.expander] == [
        "1 link not used yet",
        "6 annotators without a sign-in: imported or simulated",
        "Erase somebody who asks for it",
    ]


@pytest.mark.parametrize(
    ("page", "key"),
    [
        ("batches", "pause-1"),
        ("training", "retrain-playful_sidekick"),
        ("people", "switch-1-True"),
        ("adapters", "promote-now"),
    ],
)
@pytest.mark.parametrize("role", [None, Role.ANALYST])
def test_a_page_left_open_does_nothing_for_somebody_who_may_not(
    ledger, monkeypatch, page, key, role
):
    from db.people import invite

    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12, open_last=page != "training")
        invite(session, "Ada", Role.ADMIN)
    bob = app_session.Me(77, "Bob", Role.ADMIN, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: bob)
    opened = show(page)
    if page == "adapters":
        opened.button(key="promote-playful_sidekick").click().run()
        opened.text_input[0].set_value("because")
    now = app_session.Me(77, "Bob", role, AnnotatorKind.HUMAN) if role else None
    monkeypatch.setattr(app_session, "signed_in", lambda: now)
    before = everything(ledger)
    opened.button(key=key).click().run()
    assert everything(ledger) == before
    assert "signed out" in words(opened) or "for the role" in words(opened)


def everything(ledger) -> list[tuple]:
    """What an operator's button can change."""
    from db.models import AliasChange, Annotator, AuditEntry, Batch, Job

    with ledger() as session:
        return [
            *session.query(Batch.id, Batch.state),
            *session.query(Annotator.id, Annotator.active, Annotator.role),
            *session.query(Job.id, Job.state),
            *session.query(AliasChange.id),
            *session.query(AuditEntry.id),
        ]


def test_a_refused_job_tells_why(ledger):
    from db.models import Job

    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
        session.add(
            Job(kind="retrain", persona_slug="luxury_curator", state="failed", message="too few")
        )
    assert "too few" in words(show("training"))


def test_promotion_and_rollback_ask_before_they_act(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12)
    before = work_queries.incumbents()["playful_sidekick"].adapter
    for button, confirm in (("rollback", "rollback-now"), ("promote", "promote-now")):
        page = show("adapters")
        page.button(key=f"{button}-playful_sidekick").click().run()
        assert page.button(key=confirm)
        work_queries.forget()
        assert work_queries.incumbents()["playful_sidekick"].adapter == before


def test_verify_says_when_files_are_not_there(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=1, judged=4, blind=4)
    page = show("adapters")
    page.button(key="verify-playful_sidekick").click().run()
    assert "is not on this machine" in words(page).replace("\\", "")


def test_an_invitation_is_shown_once(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
    page = show("people")
    page.text_input[0].set_value("Zoe")
    next(b for b in page.button if "Make a link" in b.label).click().run()
    links = [block.value for block in page.code if "/invite/" in block.value]
    assert len(links) == 1
    page.run()
    assert not [block.value for block in page.code if "/invite/" in block.value]
    assert "Zoe" in {person.name for person in work_queries.people()}


def test_an_evaluator_sees_none_of_it(ledger, monkeypatch):
    eve = app_session.Me(2, "Eve", Role.EVALUATOR, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: eve)
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12)
    for name in EVERY:
        page = show(name)
        assert not page.button
        assert "This page is for the role" in words(page)


def test_chat_says_why_nobody_can_answer_and_what_starts_the_engine(ledger, monkeypatch):
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=0)
    said = words(show("chat"))
    assert "The engine is not running" in said
    assert "personaloop serve" in said


def test_chat_without_personas_says_how_to_get_them(ledger):
    page = show("chat")
    assert any("personaloop init" in block.value for block in page.code)


def test_evaluators_talk_to_whoever_answers_and_analysts_choose(ledger, monkeypatch):
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12)
    mine = show("chat", persona="Playful Sidekick").selectbox(key="adapter-playful_sidekick")
    assert len(mine.options) == 4
    assert mine.value == "playful_sidekick-dpo-r2"
    eve = app_session.Me(2, "Eve", Role.EVALUATOR, AnnotatorKind.HUMAN)
    monkeypatch.setattr(app_session, "signed_in", lambda: eve)
    hers = show("chat", persona="Playful Sidekick").selectbox(key="adapter-playful_sidekick")
    assert len(hers.options) == 1


def test_dashboards_start_without_torch_and_tinker():
    import subprocess
    import sys

    code = (
        "import sys; from annotate_app import queries, charts, panels, actions, curves, results;"
        "heavy = {'torch', 'tinker', 'transformers', 'peft', 'training'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_rounds_say_why_with_the_bounds_and_every_guard(ledger):
    from sqlalchemy import select

    from db.models import Round
    from training.blind import batch_judgments
    from training.evaluation.gate import decide
    from training.evaluation.gate_config import GateConfig
    from training.evaluation.guards import Measured, guards

    with ledger.begin() as session:
        seeding.seed_world(
            session, rounds=1, judged=8, blind=40, gains=(3.0,), persona_slugs=["playful_sidekick"]
        )
        current = session.scalars(select(Round)).one()
        lost = {"verdict": "even", "words": "**judge** was not sure."}
        current.decision = decide(
            batch_judgments(session, current.blind_batch_id),
            current.challenger_id,
            current.incumbent_id,
            wanted=40,
            prescreen=lost,
            guards=guards(Measured({}, {}, (3, 0), (2, 0), 120.0, 400.0), GateConfig()),
        ).evidence()
    page = show("rounds")
    assert "\\*\\*judge\\*\\*" in words(page), "what a judge is called stays text"
    said = words(page).replace("\\", "")
    assert "the guard on length (120 characters a response beside 400: 0.30 times as long" in said
    assert ":red-badge[failed] **length**" in said and ":green-badge[passed] **safety**" in said
    assert ":gray-badge[not computed] **held-out accuracy**" in said
    assert "AUTOMATIC pre-screen: even" in said
    assert "The bounds rose above one half within" in said
    assert any(each.label == "The evidence" for each in page.expander)
