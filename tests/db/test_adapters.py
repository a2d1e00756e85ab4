"""Adapters, aliases, lineage, rounds and snapshots, on both databases."""

import filling
import numpy as np
import pytest
from filling import PERSONA
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, judgments, lineage, rounds, snapshots
from db.candidates import nearly_same, put_candidate, token_ids, token_logprobs
from db.errors import IncumbentChanged, NotFound, Refused
from db.models import Candidate, JobKind, Run

Make = sessionmaker[Session]


def test_rolling_back_walks_back_through_what_answered_before(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        adapters.put_adapter(session, id="third", kind="dpo", persona=PERSONA)
        adapters.promote(session, PERSONA, f"{PERSONA}-new", reason="won 60 %", actor="ann")
        adapters.promote(session, PERSONA, "third", reason="won 55 %", actor="ann")
        for expected in (f"{PERSONA}-new", f"{PERSONA}-old"):
            adapters.rollback(session, PERSONA, actor="ann")
            assert adapters.incumbent(session, PERSONA).id == expected
        with pytest.raises(Refused, match="nothing to go back to"):
            adapters.rollback(session, PERSONA, actor="ann")
        adapters.promote(session, PERSONA, "third", reason="again", actor="ann")
        adapters.rollback(session, PERSONA, actor="ann")
        assert adapters.incumbent(session, PERSONA).id == f"{PERSONA}-old"
        assert len(adapters.history(session, PERSONA)) == 7


def test_nothing_answers_for_a_persona_without_adapters(make: Make) -> None:
    with make() as session, pytest.raises(NotFound, match="no adapter answers"):
        adapters.incumbent(session, "nobody")


def test_an_adapter_cannot_answer_for_another_persona_or_change_its_weights(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.persona(session, "luxury_curator")
        adapters.put_adapter(session, id="gpt-4", kind="external")
        for wrong, why in (("luxury_curator-old", "belongs to"), ("gpt-4", "by name only")):
            with pytest.raises(Refused, match=why):
                adapters.promote(session, PERSONA, wrong, reason="", actor="ann")
        with pytest.raises(Refused, match="other weights"):
            adapters.put_adapter(session, id=f"{PERSONA}-old", kind="sft", sha256="else")


def test_lineage_leads_from_an_adapter_to_its_judgments(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=2, overlap=2)
        human, robot = filling.somebody(session).id, filling.somebody(session, "r", "simulated").id
        for who in (human, robot):
            while filling.judge_next(session, who):
                pass
        taken = snapshots.take(session, PERSONA, include_simulated=True)
        run = Run(kind=JobKind.RETRAIN, persona_slug=PERSONA, snapshot_id=taken.id)
        session.add(run)
        session.flush()
        adapters.put_adapter(
            session,
            id="child",
            kind="dpo",
            persona=PERSONA,
            parents=[{"id": f"{PERSONA}-old", "sha256": "x"}, {"id": "unknown", "sha256": "y"}],
            run_id=run.id,
        )
        found = lineage.tree(session, "child")
    assert found["snapshot"]["by_kind"] == {"human": 2, "simulated": 2, "automatic": 0}
    assert found["snapshot"]["annotators"] == 2
    assert found["parents"][0]["kind"] == "sft"
    assert found["parents"][1] == {"id": "unknown", "sha256": "y"}


def test_the_same_judgments_give_the_same_snapshot(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=3)
        filling.batch(session, pairs=1, name="blind", kind="blind")
        ann = filling.somebody(session).id
        with pytest.raises(Refused, match="no standing judgment"):
            snapshots.take(session, PERSONA)
        filling.judge_next(session, ann, "a")
        first = snapshots.take(session, PERSONA)
        assert snapshots.take(session, PERSONA).id == first.id
        while filling.judge_next(session, ann, "tie"):
            pass
        second = snapshots.take(session, PERSONA)
        rows = snapshots.rows(session, second.id)
        assert (first.n_judgments, second.n_judgments) == (1, 3)
        assert first.sha256 != second.sha256
        assert {row.comparison_id for row in rows} == {1, 2, 3}  # 4 is the blind one
        assert [row.judgment_id for row in rows] == sorted(row.judgment_id for row in rows)
        assert rows[0].adapter_a == f"{PERSONA}-old" and rows[0].strength == 1


def test_simulated_judgments_train_only_when_asked(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=1)
        filling.judge_next(session, filling.somebody(session, "robot", "simulated").id)
        with pytest.raises(Refused, match="1 simulated or automatic ones were left out"):
            snapshots.take(session, PERSONA)
        taken = snapshots.take(session, PERSONA, include_simulated=True)
        assert (taken.n_judgments, taken.n_simulated) == (1, 1)


def test_one_round_at_a_time(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        assert rounds.current_round(session, PERSONA) is None
        first = rounds.open_round(session, PERSONA, f"{PERSONA}-old")
        assert rounds.open_round(session, PERSONA, f"{PERSONA}-old").id == first.id
        with pytest.raises(Refused, match="under way"):
            rounds.open_round(session, PERSONA, f"{PERSONA}-new")
        first.state = "rejected"
        session.flush()
        assert rounds.open_round(session, PERSONA, f"{PERSONA}-new").number == 2


def test_the_frame_of_standing_judgments_tells_round_batch_and_kind(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        made = filling.batch(session, pairs=2)
        filling.batch(session, pairs=1, name="other", kind="blind")
        ann, robot = filling.somebody(session).id, filling.somebody(session, "r", "automatic").id
        rounds.open_round(session, PERSONA, f"{PERSONA}-old").label_batch_id = made.id
        filling.judge_next(session, ann, "a")
        filling.judge_next(session, robot, "tie")
        filling.judge_next(session, ann, "a")
        frame = judgments.standing_frame(session)
        assert list(frame.columns) == list(judgments.COLUMNS)
        assert frame["round"].tolist()[:2] == [1, 1] and frame["round"].isna().sum() == 1
        assert frame["annotator_kind"].tolist() == ["human", "automatic", "human"]
        assert frame["strength"].isna().sum() == 1
        assert str(frame["created_at"].dt.tz) == "UTC"
        assert len(judgments.standing_frame(session, include_simulated=False)) == 2
        assert len(judgments.standing_frame(session, batch_kind="blind")) == 1
        assert len(judgments.standing_frame(session, round=1)) == 2
        assert len(judgments.standing_frame(session, persona="nobody")) == 0
        assert (len(frame), frame["annotator"].nunique()) == (3, 2)


def test_an_empty_ledger_gives_an_empty_frame_of_the_same_types(make: Make) -> None:
    with make() as session:
        frame = judgments.standing_frame(session)
    assert frame.empty and str(frame["placement"].dtype) == "int64"


def test_tokens_and_logprobs_come_back_as_they_went_in(make: Make) -> None:
    tokens = np.array([1, 2047, 5], dtype=np.int32)
    logprobs = np.array([-0.5, -1e-7, -30.25], dtype=np.float32)
    with make.begin() as session:
        filling.persona(session)
        prompt = filling.candidate(session, "x").prompt_id
        args = {"prompt_id": prompt, "persona": PERSONA, "adapter_id": f"{PERSONA}-old"}
        kept = put_candidate(
            session, **args, text="hi", seed=9, tokens=tokens, logprobs=logprobs, sampling={}
        ).id
        assert put_candidate(session, **args, text="hi", seed=9, sampling={}).id == kept
        with pytest.raises(Refused, match="3 tokens but 2"):
            put_candidate(session, **args, text="x", seed=8, tokens=tokens, logprobs=logprobs[:2])
    with make() as session:
        found = session.get_one(Candidate, kept)
        assert np.array_equal(token_ids(found), tokens)
        assert np.array_equal(token_logprobs(found), logprobs)
        assert token_ids(session.get_one(Candidate, 1)) is None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Open the app.", "open the APP!", True),
        (
            "Hold the button for ten seconds, then let go.",
            "Hold the button for ten seconds.",
            False,
        ),
        ("a b c d e f g h i j", "a b c d e f g h i k", True),
        ("Hello", "Goodbye", False),
        ("", "", True),
        ("!!!", "???", False),
    ],
)
def test_texts_that_differ_too_little_are_nearly_the_same(a: str, b: str, same: bool) -> None:
    assert nearly_same(a, b) is same
    assert nearly_same(b, a) is same


def test_a_promotion_that_expects_another_incumbent_changes_nothing(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        with pytest.raises(IncumbentChanged, match=f"{PERSONA}-old answers for {PERSONA} now"):
            adapters.promote(
                session, PERSONA, f"{PERSONA}-new", reason="won", actor="gate", expected="other"
            )
        assert adapters.incumbent(session, PERSONA).id == f"{PERSONA}-old"
        adapters.promote(
            session,
            PERSONA,
            f"{PERSONA}-new",
            reason="won",
            actor="gate",
            expected=f"{PERSONA}-old",
        )
        assert adapters.incumbent(session, PERSONA).id == f"{PERSONA}-new"


def test_an_adapter_trained_without_somebody_on_purpose_never_answers(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        ann = filling.somebody(session).id
        run = Run(kind=JobKind.RETRAIN, persona_slug=PERSONA, excluded=[ann])
        session.add(run)
        session.flush()
        adapters.put_adapter(session, id="if", kind="dpo", persona=PERSONA, run_id=run.id)
        adapters.put_adapter(
            session, id="copied", kind="dpo", persona=PERSONA, metrics={"without": [ann, 99]}
        )
        for name, who in (("if", "without ann to"), ("copied", "without ann, annotator 99")):
            with pytest.raises(Refused, match=who):
                adapters.promote(session, PERSONA, name, reason="", actor="operator")
        assert adapters.incumbent(session, PERSONA).id == f"{PERSONA}-old"
