"""A batch from candidates that are there: what it compares, whom it is for, what is refused."""

import filling
import pytest
from filling import PERSONA
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import audit, candidates, prompts
from db.batch_making import BatchPlan, adapters_with_candidates, make_batch, preview
from db.errors import NotFound, Refused
from db.models import Batch, BatchAnnotator, Candidate, Comparison

OLD, NEW = f"{PERSONA}-old", f"{PERSONA}-new"


def write(
    session: Session,
    adapter: str,
    text: str,
    ask: str,
    *,
    split: str = "loop",
    journey: str | None = None,
    tags: tuple[str, ...] = (),
    seed: int = 1,
) -> Candidate:
    prompt = prompts.put_prompt(
        session, [{"role": "user", "content": ask}], split=split, journey=journey, tags=tags
    )
    return candidates.put_candidate(
        session, prompt_id=prompt.id, persona=PERSONA, adapter_id=adapter, text=text, seed=seed
    )


@pytest.fixture
def filled(make: sessionmaker[Session]) -> sessionmaker[Session]:
    with make.begin() as session:
        filling.persona(session)
        filling.crowd(session, ["ann", "bob"])
        for ask, journey, tags in (
            ("one?", "onboarding", ("short",)),
            ("two?", "onboarding", ()),
            ("three?", "complaints", ("short",)),
        ):
            write(session, OLD, f"old {ask}", ask, journey=journey, tags=tags)
            write(session, NEW, f"new {ask}", ask, journey=journey, tags=tags)
        write(session, OLD, "secret old", "held?", split="heldout")
        write(session, NEW, "secret new", "held?", split="heldout")
        write(session, OLD, "the same", "alike?")
        write(session, NEW, "the same", "alike?")
    return make


def test_two_adapters_are_compared_on_every_prompt_that_both_answered(
    filled: sessionmaker[Session],
) -> None:
    plan = BatchPlan("b", PERSONA, (OLD, NEW), overlap=3, extra_overlap=2, rubric=" Be kind. ")
    with filled.begin() as session:
        seen = preview(session, plan)
        made = make_batch(session, plan, actor="ada")
        assert made.asks == seen
        assert (seen.prompts, seen.comparisons, seen.judgments, seen.alike) == (3, 3, 9, 1)
        batch = session.get_one(Batch, made.id)
        assert (batch.overlap, batch.extra_overlap, batch.rubric) == (3, 2, "Be kind.")
        assert not batch.named_only and batch.kind == "label" and batch.state == "open"
        sides = {
            (each.candidate_a.adapter_id, each.candidate_b.adapter_id)
            for each in session.scalars(select(Comparison).where(Comparison.batch_id == made.id))
        }
        assert sides == {(OLD, NEW)}
        entry = audit.entries(session)[0]
        assert (entry.actor, entry.act, entry.subject) == ("ada", "make batch", "b")
        assert entry.detail["comparisons"] == 3


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        ({"journey": "onboarding"}, 2),
        ({"tag": "short"}, 2),
        ({"tag": "short", "journey": "onboarding"}, 1),
        ({"most": 2}, 2),
        ({"split": "heldout"}, 1),
        ({"split": "loop"}, 3),
    ],
)
def test_prompts_are_chosen_by_split_journey_and_tag(
    filled: sessionmaker[Session], choice: dict[str, str], count: int
) -> None:
    with filled.begin() as session:
        plan = BatchPlan("b", PERSONA, **choice)  # type: ignore[arg-type]
        assert preview(session, plan).comparisons == count
        assert make_batch(session, plan, actor="ada").asks.comparisons == count


def test_held_out_prompts_make_a_blind_batch_that_never_trains(
    filled: sessionmaker[Session],
) -> None:
    with filled.begin() as session:
        made = make_batch(session, BatchPlan("b", PERSONA, split="heldout"), actor="ada")
        assert session.get_one(Batch, made.id).kind == "blind"


def test_one_adapter_alone_is_compared_with_itself(filled: sessionmaker[Session]) -> None:
    with filled.begin() as session:
        for seed in (2, 3, 4):
            write(session, OLD, f"old again {seed} and more", "one?", seed=seed)
        seen = preview(session, BatchPlan("b", PERSONA, (OLD,)))
        assert (seen.prompts, seen.comparisons) == (1, 2)


def test_a_batch_for_named_people_names_them(filled: sessionmaker[Session]) -> None:
    with filled.begin() as session:
        made = make_batch(session, BatchPlan("b", PERSONA, annotators=("bob",)), actor="ada")
        assert session.get_one(Batch, made.id).named_only
        rows = session.scalars(select(BatchAnnotator.batch_id)).all()
        assert list(rows) == [made.id]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"name": " "}, Refused, "1 to 160 characters"),
        ({"overlap": 0}, Refused, "overlap must be 1 to 50"),
        ({"extra_overlap": -1}, Refused, "extra judgments must be 0 to 50"),
        ({"strategy": "best"}, Refused, "strategy 'best' is unknown"),
        ({"split": "test"}, Refused, "split 'test' is unknown"),
        ({"most": 0}, Refused, "ask for 1 or more"),
        ({"random_share": 1.1}, Refused, "the random share must be from 0 to 1"),
        ({"gold_rate": 0.6}, Refused, "the gold rate must be from 0 to 0.5"),
        ({"adapters": (OLD, OLD)}, Refused, "named twice"),
        ({"adapters": ("ghost",)}, NotFound, "no adapter 'ghost'"),
        ({"persona": "ghost"}, NotFound, "no persona 'ghost'"),
        ({"annotators": ("bob", "eve")}, NotFound, "nobody called 'eve'"),
        ({"journey": "none such"}, Refused, "nothing to compare"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(
    filled: sessionmaker[Session], change: dict[str, object], error: type[Exception], said: str
) -> None:
    wishes: dict[str, object] = {"name": "b", "persona": PERSONA, **change}
    with pytest.raises(error, match=said), filled.begin() as session:
        make_batch(session, BatchPlan(**wishes), actor="ada")  # type: ignore[arg-type]
    with filled() as session:
        assert session.scalars(select(Batch)).all() == []


def test_a_name_is_given_once(filled: sessionmaker[Session]) -> None:
    with filled.begin() as session:
        make_batch(session, BatchPlan("b", PERSONA), actor="ada")
        with pytest.raises(Refused, match="choose another name"):
            preview(session, BatchPlan("b ", PERSONA))


def test_adapters_to_choose_from_are_those_with_candidates(filled: sessionmaker[Session]) -> None:
    with filled() as session:
        assert adapters_with_candidates(session, PERSONA) == [NEW, OLD]
