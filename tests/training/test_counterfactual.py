"""Without somebody: what is left out, how it is compared, marked, resumed and never promoted."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select
from test_pairs import Judged
from test_retraining import Killed, ask, count, expire, labeled, state_of, worker_of
from workbench import PERSONA, STARTER

from db import adapters
from db.errors import NotFound, Refused
from db.models import Adapter, Batch, BatchKind, Job, JobKind, JobState, Judgment, RoundState, Run
from training.adapter_difference import pairs_changed, weight_changes
from training.leaving_out import describe, params_of, people_ids
from training.pairs import PairOptions, build_pairs
from training.peft_files import LoraFactors

ALL = PairOptions(heldout_share=0.0)


def retrained(ledger, workshop) -> tuple[str, int]:
    """A round with a trained challenger; its id and an annotator who judged for it."""
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    assert worker_of(ledger, workshop).step().outcome == "done"
    with ledger.begin() as session:
        made = session.scalars(select(Adapter.id).where(Adapter.kind == "dpo")).one()
        return made, session.scalars(select(Judgment.annotator_id).order_by(Judgment.id)).first()


def test_a_counterfactual_is_compared_marked_and_answers_nobody(ledger, workshop, monkeypatch):
    made, who = retrained(ledger, workshop)
    params = params_of(ledger, PERSONA, None, [str(who)])
    assert params == {"without": [who], "of": made}
    said = describe(ledger, PERSONA, made, [str(who)])
    assert said.startswith("as it is: ") and "from 24 judgments" in said and "pairs lost" in said
    blind = count(ledger, Batch, Batch.kind == BatchKind.BLIND)
    ask(ledger, JobKind.RETRAIN, **params)
    with monkeypatch.context() as patched:
        from training import counterfactual

        real = counterfactual.train_adapter

        def killed(*args, **kwargs):
            real(*args, **kwargs)
            raise Killed

        patched.setattr(counterfactual, "train_adapter", killed)
        with pytest.raises(Killed):
            worker_of(ledger, workshop).step()
    expire(ledger)
    done = worker_of(ledger, workshop).step()
    assert done.outcome == "done", done
    assert f"is {made} without annotator {who}: " in done.message
    assert "held-out accuracy" in done.message and "SIMULATED" in done.message
    with ledger.begin() as session:
        (other,) = [one for one in session.scalars(select(Adapter)) if "without" in one.id]
        run = session.get_one(Run, other.run_id)
        assert (run.excluded, run.state, other.metrics["without"]) == ([who], JobState.DONE, [who])
        assert run.reference_id == STARTER and run.config["seed"] == 7 and run.key
        found = other.metrics["counterfactual"]
        taken = session.scalars(select(Run).where(Run.excluded.is_(None))).one()
        assert run.snapshot_id != taken.snapshot_id
        with pytest.raises(Refused, match="counterfactual"):
            adapters.promote(session, PERSONA, other.id, reason="", actor="test")
        folder = workshop.outputs.joinpath(*run.folder.split("/")[1:])
    lines = (folder / "snapshot.jsonl").read_text().splitlines()
    assert all(json.loads(line)["annotator"] != who for line in lines)
    assert json.loads((folder / "counterfactual.json").read_text()) == found
    assert found["pairs"]["lost"] >= 1 and found["agreement"]["pairs"] == found["factual"]["pairs"]
    assert 0 < found["cosine"] < 1 and found["relative_difference"] > 0
    assert count(ledger, Batch, Batch.kind == BatchKind.BLIND) == blind
    assert state_of(ledger) is RoundState.BLIND
    assert count(ledger, Run) == 2, "the one that was killed went on"
    # Asked again, nothing is trained again.
    monkeypatch.setattr("training.dpo_run.train_dpo", lambda *args: pytest.fail("trained again"))
    ask(ledger, JobKind.RETRAIN, **params)
    assert worker_of(ledger, workshop).step().message == done.message
    assert count(ledger, Run) == 2 and count(ledger, Job, Job.state == JobState.DONE) == 4
    with pytest.raises(Refused, match="counterfactual itself"):
        params_of(ledger, PERSONA, other.id, [str(who)])


def test_who_and_which_adapter_are_told_by_name_or_refused(ledger):
    from db import people

    with ledger.begin() as session:
        ann = people.put_annotator(session, "ann").id
        seven = people.put_annotator(session, "7").id
        assert people_ids(session, ["ann", str(ann), "7"]) == sorted({ann, seven})
        with pytest.raises(NotFound, match="nobody called 'eve'"):
            people_ids(session, ["eve"])
    with pytest.raises(NotFound, match="was trained on judgments yet"):
        params_of(ledger, PERSONA, None, ["ann"])
    with pytest.raises(Refused, match="was not trained on judgments"):
        params_of(ledger, PERSONA, STARTER, ["ann"])


def test_pairs_are_lost_gained_and_turned_round_with_somebody_gone():
    shared = [Judged(1, "a"), Judged(2, "a", prompt="even"), Judged(3, "b", prompt="turned")]
    theirs = [
        Judged(4, "b", prompt="even"), Judged(5, "a", 2, prompt="turned"),
        Judged(6, "a", prompt="only theirs"), Judged(7, "b", prompt="hi"), Judged(8, "a"),
    ]  # fmt: skip
    found = pairs_changed(build_pairs([*shared, *theirs], ALL), build_pairs(shared, ALL))
    assert (found.before, found.after) == (3, 3)
    assert (found.lost, found.gained, found.flipped) == (1, 1, 1)
    # "hi" goes from 2/3 to 1; "turned" from 1.5/2.5 for one side to 1 for the other.
    assert found.moved == pytest.approx((1 / 3 + 0.6) / 2)


def factors(chance, **change) -> LoraFactors:
    drawn = {name: (chance.normal(size=(2, 5)), chance.normal(size=(4, 2))) for name in ("q", "v")}
    plain = LoraFactors(None, 1.0, {}, drawn, {"q": 0.5, "v": 2.0}, "")  # type: ignore[arg-type]
    return replace(plain, **change)


def test_changes_of_weights_are_those_of_the_whole_matrices():
    chance = np.random.default_rng(4)
    one, two, start = (factors(chance) for _ in range(3))
    two.factors.pop("v")  # adapted by one of them alone

    def whole(lora):
        return np.concatenate([
            (lora.scales[m] * lora.factors[m][1] @ lora.factors[m][0]).ravel()
            if m in lora.factors else np.zeros(20) for m in ("q", "v")
        ])  # fmt: skip

    first, second = whole(one) - whole(start), whole(two) - whole(start)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    relative = np.linalg.norm(first - second) / np.linalg.norm(first)
    assert weight_changes(one, two, start) == (pytest.approx(cosine), pytest.approx(relative))
    assert weight_changes(one, one, start) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-6))
    assert weight_changes(one, start, start) == (None, None)
