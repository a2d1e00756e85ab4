"""Small ledgers for tests, and short words for what tests do."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session, sessionmaker

from db import adapters, batches, candidates, labeling, people, personas, prompts
from db.models import Annotator, Batch, Candidate, Comparison, Judgment

PERSONA = "playful_sidekick"


def persona(session: Session, slug: str = PERSONA) -> None:
    """A persona with two adapters, `old` and `new`, of which the first answers."""
    personas.put_persona(session, slug=slug, name=slug.title(), summary="Likes tests.")
    for name in ("old", "new"):
        adapters.put_adapter(
            session, id=f"{slug}-{name}", kind="sft", persona=slug, sha256=name * 10
        )
    adapters.promote(session, slug, f"{slug}-old", reason="shipped", actor="test")


def candidate(
    session: Session, text: str, *, ask: str = "hello?", adapter: str = "old", seed: int = 1
) -> Candidate:
    """One completion of the persona."""
    prompt = prompts.put_prompt(session, [{"role": "user", "content": ask}])
    return candidates.put_candidate(
        session,
        prompt_id=prompt.id,
        persona=PERSONA,
        adapter_id=f"{PERSONA}-{adapter}",
        text=text,
        sampling={"temperature": 0.9},
        seed=seed,
    )


def batch(
    session: Session,
    *,
    pairs: int = 3,
    overlap: int = 1,
    name: str = "batch",
    kind: str = "label",
    priority: int = 0,
    persona: str | None = PERSONA,
) -> Batch:
    """A batch of pairs, `old` against `new`."""
    made = batches.open_batch(
        session, name=name, kind=kind, persona=persona, overlap=overlap, priority=priority
    )
    for number in range(pairs):
        pair(session, made, number)
    return made


def pair(session: Session, into: Batch, number: int) -> Comparison:
    """One more pair in a batch."""
    ask = f"{into.name} {number}?"
    return batches.put_comparison(
        session,
        into,
        candidate(session, f"old says {number}", ask=ask, adapter="old"),
        candidate(session, f"new says {number}", ask=ask, adapter="new"),
    )


def crowd(session: Session, names: Iterable[str], kind: str = "human") -> list[int]:
    """Annotators' ids."""
    return [people.put_annotator(session, name, kind=kind).id for name in names]


def somebody(session: Session, name: str = "ann", kind: str = "human") -> Annotator:
    """An annotator."""
    return people.put_annotator(session, name, kind=kind)


def judge_next(
    session: Session, annotator: int, verdict: str = "a", *, now: datetime | None = None
) -> Judgment | None:
    """Claim and judge at once; None when nothing is left."""
    shown = labeling.claim(session, annotator, now=now)
    if shown is None:
        return None
    return labeling.judge(session, shown.token, annotator, verdict, now=now, min_dwell=False)


def judge_all(make: sessionmaker[Session], annotator: int, verdict: str = "a") -> int:
    """Judge until nothing is left; how many."""
    done = 0
    with make.begin() as session:
        while judge_next(session, annotator, verdict) is not None:
            done += 1
    return done
