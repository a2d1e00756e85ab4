"""The Training page says whether a persona's judgments are good enough, and why not."""

from random import Random

from annotate_app import work_queries
from db.models import AuditEntry
from tests.annotate_app import seeding
from tests.annotate_app.test_dashboards import finding, ledger, show, words

__all__ = ["ledger"]
SLUG = "playful_sidekick"


class Leaning(Random):
    """Chance that shows A first."""

    def choice(self, seq):
        return 1 if tuple(seq) == (-1, 1) else super().choice(seq)


def always_first(session, monkeypatch):
    """A batch whose judges take whatever has the first place."""
    real = seeding.judge_once
    monkeypatch.setattr(seeding, "judge_once", lambda *told: real(*told, verdict="a"))
    who, start, now = seeding.people(session, 3, 0), f"{SLUG}-sft-v1", seeding.utcnow()
    batch = seeding.open_batch(session, "leaning", "label", SLUG, now)
    seeding.ask(session, Leaning(7), batch, SLUG, [start, start], 100, who, {start: 0.0}, now)


def test_judgments_that_lean_to_one_side_are_not_trained_on_unless_for_a_reason(
    ledger, monkeypatch
):
    with ledger.begin() as session:
        seeding.seed_world(session, judged=8, blind=12, open_last=False)
    page = show("training")
    assert not page.button(key=f"retrain-{SLUG}").disabled, words(page)
    assert "Ready to train on" in [each.label for each in page.expander]
    assert "not known yet" in words(page), "gold was never asked"
    with ledger.begin() as session:
        always_first(session, monkeypatch)
    page = show("training")
    assert page.button(key=f"retrain-{SLUG}").disabled
    assert finding(page).endswith("not good enough to learn from yet")
    said = words(page)
    assert "The first place won" in said and "more judgments without a leaning would do" in said
    assert "not good enough" in said
    page.button(key=f"forced-{SLUG}").click().run()
    assert "say in a few words why" in words(page) and not work_queries.jobs()[0].live
    page.text_input(key=f"force-{SLUG}").set_value("a trial of the desk").run()
    page.button(key=f"forced-{SLUG}").click().run()
    assert not page.exception and "is queued" in words(page)
    work_queries.forget()
    job = work_queries.jobs()[0]
    assert job.live and job.params["force"] == "a trial of the desk"
    with ledger.begin() as session:
        entry = session.query(AuditEntry).filter_by(act="retrain").one()
        assert entry.detail["force"] == "a trial of the desk"
