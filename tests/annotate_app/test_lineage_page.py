"""The lineage page: the tree and its links, the pairs behind an adapter, what a judgment made."""

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from annotate_app.lineage_tree import tree_html
from db import adapters, snapshots
from db.models import Adapter, JobKind, Run, SnapshotJudgment
from tests.annotate_app import seeding
from tests.annotate_app.test_dashboards import finding, ledger, show, words

__all__ = ["ledger"]
SLUG = "playful_sidekick"
ROUND_2 = f"{SLUG}-dpo-r2"


@pytest.fixture
def world(ledger):
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=2, persona_slugs=(SLUG,), simulated=1, judged=30)
    return ledger


def html(page: AppTest) -> str:
    """What the page lays out itself."""
    return "\n".join(str(part.proto.body) for part in page.get("html"))


def test_an_adapter_is_traced_to_its_judgments_and_its_base(world):
    page = show("lineage", adapter=ROUND_2)
    assert finding(page).startswith("Round 2 of Playful Sidekick learned from ")
    tree = html(page)
    assert tree.count('<div class="pl-tree-card">') == 4, "round 2, round 1, the start, the base"
    for part in ("Judgments", "Snapshot", "Run", "Blind", "Alias", "Base model", "SIMULATED"):
        assert part in tree, part
    assert f'href="lineage?adapter={SLUG}-sft-v1"' in tree
    assert page.subheader[0].value == "The pairs behind it"
    table = page.expander[0].table[0].value
    assert set(table["Trained"].map(lambda said: said.replace("\\", ""))) == {"round 2"}
    other = show("lineage", adapter=f"{SLUG}-sft-v1")
    assert "was made without judgments" in finding(other)
    assert not other.subheader


def test_another_adapter_is_chosen_and_named_in_the_address(world):
    page = show("lineage")
    assert page.query_params["adapter"] == f"{SLUG}-dpo-r1", "what answers now and has learned"
    page.selectbox(key="lineage-of").set_value(ROUND_2).run()
    assert page.query_params["adapter"] == ROUND_2
    assert finding(page).startswith("Round 2")


def test_a_judgment_leads_to_the_adapters_that_it_trained(world):
    with world.begin() as session:
        run = session.scalar(select(Adapter.run_id).where(Adapter.id == ROUND_2))
        taken = session.get_one(Run, run).snapshot_id
        one = session.scalars(
            select(SnapshotJudgment.judgment_id).where(SnapshotJudgment.snapshot_id == taken)
        ).first()
    assert f"trained `{ROUND_2}`" in words(show("lineage", judgment=str(one)))
    assert "There is no judgment 99999" in words(show("lineage", judgment="99999"))
    # From the failure explorer a judgment names them too.
    failures = show("failures", adapter="round 1", persona="Playful Sidekick", against="itself")
    tables = [table.value for table in failures.table if "Trained" in table.value]
    assert tables and any(ROUND_2 in said.replace("\\", "") for said in tables[0]["Trained"])


def test_a_counterfactual_is_marked_shown_beside_and_offered_to_nobody(world):
    share = {"value": 0.6, "ci_low": 0.4, "ci_high": 0.8, "pairs": 10}
    numbers = {
        "pairs": {"before": 20, "after": 18, "lost": 2, "gained": 0, "flipped": 1, "moved": 0.1},
        "factual": share, "other": share, "factual_by_rest": share, "other_by_rest": share,
        "agreement": share, "cosine": 0.93, "relative_difference": 0.31,
    }  # fmt: skip
    with world.begin() as session:
        run = session.get_one(Run, session.get_one(Adapter, ROUND_2).run_id)
        who = snapshots.rows(session, run.snapshot_id)[0].annotator_id
        made = Run(kind=JobKind.RETRAIN, persona_slug=SLUG, excluded=[who])
        session.add(made)
        session.flush()
        adapters.put_adapter(
            session, id="what-if", kind="dpo", persona=SLUG, run_id=made.id,
            metrics={"without": [who], "counterfactual_of": ROUND_2, "counterfactual": numbers},
        )  # fmt: skip
    page = show("lineage", adapter="what-if")
    assert "COUNTERFACTUAL, never answers" in html(page) and "Without" in html(page)
    assert finding(page).startswith("Round 2 without ")
    assert "2 of 20 pairs lost" in words(page).replace("\\", "")
    assert "What if" in html(show("lineage", adapter=ROUND_2))
    shown = show("adapters")
    shown.button(key=f"promote-{SLUG}").click().run()
    offered = shown.selectbox[0].options
    assert offered and not any("what-if" in option for option in offered)


def test_hostile_names_stay_text():
    bad = '<img src=x onerror=alert(1)>"&'
    node = {"id": bad, "kind": "dpo", "parents": [{"id": bad, "sha256": bad}], "without": [bad]}
    drawn = tree_html(node, {}, [bad])
    assert "<img" not in drawn and 'href="lineage?adapter=%3Cimg' in drawn
    assert "&lt;img" in drawn


def test_a_ledger_without_adapters_says_what_brings_one(ledger):
    page = show("lineage")
    assert finding(page) == "There is no adapter yet"
    assert any("personaloop init" in block.value for block in page.code)
