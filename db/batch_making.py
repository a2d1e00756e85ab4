"""Makes a batch from candidates that are in the ledger: who is compared on which prompts, how.

Knows batches and comparisons. Does not know how candidates are generated, nor who judges when. The
command line and the admin's page call the same two verbs: ``preview`` counts, ``make_batch`` makes.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit, batches, ordering
from db.candidates import nearly_same
from db.errors import NotFound, Refused
from db.models import (
    Adapter,
    Annotator,
    Batch,
    BatchAnnotator,
    BatchKind,
    BatchState,
    Candidate,
    Persona,
    Prompt,
)

STRATEGIES = ("listed", "informative", "random")
"""What ``batch.strategy`` may be: as made, the analyzer's choice, or by chance."""
SPLITS = ("loop", "heldout", "imported")
MOST_OVERLAP = 50
_PROMPTS_AT_ONCE = 200


@dataclass(frozen=True)
class BatchPlan:
    """A batch as somebody wishes it.

    Attributes:
        name: Unique name, 1 to 160 characters.
        persona: Slug of the persona whose candidates are compared.
        adapters: Ids; two or more are compared with each other, one with itself (its own different
            candidates). Empty: every adapter that has candidates of the persona.
        split: Only prompts of this split (``loop``, ``heldout``, ``imported``); None for all but
            held-out ones. Held-out prompts make a blind batch, which never trains anything.
        journey: Only prompts of this journey.
        tag: Only prompts with this tag.
        most: Most comparisons; which of them is drawn from the name. None for all.
        overlap: Judgments wanted a comparison, by different annotators.
        extra_overlap: Judgments that may be added to a comparison whose first ones disagree.
        strategy: ``listed``, ``informative`` or ``random``.
        random_share: Share drawn at random under ``informative``, 0 to 1.
        gold_rate: Share of an annotator's pairs that are gold, 0 to 0.5.
        repeat_rate: Share of an annotator's pairs that are an own earlier one, 0 to 0.5.
        rubric: What to look at, in Markdown.
        annotators: Names of whom it is for; empty for everybody.
        priority: Higher is asked first.
        open: Whether it is handed out at once; else it starts paused.
    """

    name: str
    persona: str
    adapters: Sequence[str] = ()
    split: str | None = None
    journey: str | None = None
    tag: str | None = None
    most: int | None = None
    overlap: int = 1
    extra_overlap: int = 0
    strategy: str = "informative"
    random_share: float = 0.2
    gold_rate: float = 0.0
    repeat_rate: float = 0.0
    rubric: str = ""
    annotators: Sequence[str] = ()
    priority: int = 0
    open: bool = True


@dataclass(frozen=True)
class Preview:
    """What a plan would ask.

    Attributes:
        prompts: Prompts that have at least one comparison.
        comparisons: Comparisons.
        judgments: Comparisons times overlap, without extra ones.
        alike: Pairs left out because their texts are (nearly) the same or empty.
    """

    prompts: int
    comparisons: int
    judgments: int
    alike: int


@dataclass(frozen=True)
class MadeBatch:
    """A batch that was just made.

    Attributes:
        id: Its id.
        name: Its name.
        asks: What it asks.
    """

    id: int
    name: str
    asks: Preview


class _Text(NamedTuple):
    id: int
    adapter_id: str
    text: str


@dataclass
class _Chosen:
    pairs: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    prompts: int = 0
    alike: int = 0


def adapters_with_candidates(session: Session, persona: str) -> list[str]:
    """The ids of the adapters of which this persona has candidates, by name."""
    query = (
        select(Candidate.adapter_id)
        .where(Candidate.persona_slug == persona, Candidate.text != "")
        .distinct()
        .order_by(Candidate.adapter_id)
    )
    return list(session.scalars(query))


def preview(session: Session, plan: BatchPlan) -> Preview:
    """How many comparisons a plan would make. Changes nothing.

    Raises:
        NotFound: There is no such persona, adapter or annotator.
        Refused: The plan cannot be carried out; the message says what to change.
    """
    _check(session, plan)
    return _asked(_choose(session, plan), plan)


def make_batch(session: Session, plan: BatchPlan, *, actor: str) -> MadeBatch:
    """Make a batch with all its comparisons, and write it to the audit log.

    Args:
        session: The session.
        plan: What is wished.
        actor: Who makes it, for the audit log.

    Raises:
        NotFound: There is no such persona, adapter or annotator.
        Refused: The name is taken, a value is bad, or there is nothing to compare.
    """
    people = _check(session, plan)
    chosen = _choose(session, plan)
    asks = _asked(chosen, plan)
    if not asks.comparisons:
        raise Refused(
            f"there is nothing to compare: no prompt has two candidates that differ"
            f" ({asks.alike} pairs were alike); choose other adapters or prompts, or"
            " `personaloop generate` more candidates"
        )
    made = batches.open_batch(
        session,
        name=plan.name.strip(),
        kind=BatchKind.BLIND if plan.split == "heldout" else BatchKind.LABEL,
        persona=plan.persona,
        overlap=plan.overlap,
        priority=plan.priority,
    )
    made.extra_overlap = plan.extra_overlap
    made.strategy = plan.strategy
    made.random_share = plan.random_share
    made.gold_rate = plan.gold_rate
    made.repeat_rate = plan.repeat_rate
    made.rubric = plan.rubric.strip()
    made.state = BatchState.OPEN if plan.open else BatchState.PAUSED
    made.named_only = bool(people)
    session.add_all(BatchAnnotator(batch_id=made.id, annotator_id=each.id) for each in people)
    for one, other in chosen.pairs:
        batches.put_comparison(
            session, made, session.get_one(Candidate, one), session.get_one(Candidate, other)
        )
    if plan.strategy != "listed":
        ordering.rank(session, made)
    audit.record(
        session,
        actor,
        "make batch",
        made.name,
        comparisons=asks.comparisons,
        overlap=plan.overlap,
        extra_overlap=plan.extra_overlap,
        strategy=plan.strategy,
        adapters=list(plan.adapters),
        annotators=[each.name for each in people],
    )
    return MadeBatch(made.id, made.name, asks)


def named(session: Session, names: Sequence[str]) -> list[Annotator]:
    """Annotators by their names, each once.

    Raises:
        NotFound: There is nobody of one of the names.
    """
    wanted = dict.fromkeys(name.strip() for name in names)
    query = select(Annotator).where(Annotator.name.in_(list(wanted))).order_by(Annotator.name)
    found = list(session.scalars(query))
    missing = sorted(set(wanted) - {each.name for each in found})
    if missing:
        raise NotFound(
            f"there is nobody called {', '.join(map(repr, missing))};"
            " `personaloop users list` shows everybody"
        )
    return found


def _asked(chosen: _Chosen, plan: BatchPlan) -> Preview:
    count = len(chosen.pairs)
    return Preview(chosen.prompts, count, count * plan.overlap, chosen.alike)


def _check(session: Session, plan: BatchPlan) -> list[Annotator]:
    """Refuse what cannot be; gives the people it is for."""
    _check_values(plan)
    if session.scalar(select(Batch.id).where(Batch.name == plan.name.strip())) is not None:
        raise Refused(f"there is a batch called {plan.name.strip()!r}; choose another name")
    if session.get(Persona, plan.persona) is None:
        raise NotFound(f"there is no persona {plan.persona!r}")
    for each in plan.adapters:
        if session.get(Adapter, each) is None:
            raise NotFound(f"there is no adapter {each!r}; `personaloop adapters list` shows all")
    return named(session, plan.annotators)


def _check_values(plan: BatchPlan) -> None:
    if not 1 <= len(plan.name.strip()) <= 160:
        raise Refused("a batch's name has 1 to 160 characters")
    if not 1 <= plan.overlap <= MOST_OVERLAP:
        raise Refused(f"overlap must be 1 to {MOST_OVERLAP}, not {plan.overlap}")
    if not 0 <= plan.extra_overlap <= MOST_OVERLAP:
        raise Refused(f"extra judgments must be 0 to {MOST_OVERLAP}, not {plan.extra_overlap}")
    if plan.strategy not in STRATEGIES:
        raise Refused(f"strategy {plan.strategy!r} is unknown; use {', '.join(STRATEGIES)}")
    if plan.split is not None and plan.split not in SPLITS:
        raise Refused(f"split {plan.split!r} is unknown; use {', '.join(SPLITS)}")
    if plan.most is not None and plan.most < 1:
        raise Refused(f"at most {plan.most} comparisons are none; ask for 1 or more")
    shares = (
        ("random share", plan.random_share, 1.0),
        ("gold rate", plan.gold_rate, 0.5),
        ("repeat rate", plan.repeat_rate, 0.5),
    )
    for what, value, most in shares:
        if not 0.0 <= value <= most:
            raise Refused(f"the {what} must be from 0 to {most:g}, not {value:g}")
    if len(set(plan.adapters)) < len(plan.adapters):
        raise Refused("an adapter is named twice")


def _choose(session: Session, plan: BatchPlan) -> _Chosen:
    """The pairs of a plan, prompts in an order drawn from its name."""
    chosen = _Chosen()
    most = plan.most or -1
    order = _prompts(session, plan)
    random.Random(f"batch {plan.name.strip()}").shuffle(order)
    for start in range(0, len(order), _PROMPTS_AT_ONCE):
        some = order[start : start + _PROMPTS_AT_ONCE]
        texts = _texts(session, plan, some)
        for prompt_id in some:
            before = len(chosen.pairs)
            for one, other in _pairs(texts.get(prompt_id, []), len(plan.adapters) == 1):
                if not (one.text.strip() and other.text.strip()) or nearly_same(
                    one.text, other.text, threshold=0.999
                ):
                    chosen.alike += 1
                    continue
                chosen.pairs.append((one.id, other.id))
                if len(chosen.pairs) == most:
                    break
            chosen.prompts += len(chosen.pairs) > before
            if len(chosen.pairs) == most:
                return chosen
    return chosen


def _prompts(session: Session, plan: BatchPlan) -> list[int]:
    query = (
        select(Prompt.id, Prompt.tags)
        .where(Prompt.id.in_(select(Candidate.prompt_id).where(*_wanted(plan))))
        .order_by(Prompt.id)
    )
    if plan.split is None:
        query = query.where(Prompt.split != "heldout")
    else:
        query = query.where(Prompt.split == plan.split)
    if plan.journey is not None:
        query = query.where(Prompt.journey == plan.journey)
    found = session.execute(query).tuples()
    return [prompt for prompt, tags in found if plan.tag is None or plan.tag in tags]


def _wanted(plan: BatchPlan) -> list[Any]:
    wanted: list[Any] = [Candidate.persona_slug == plan.persona]
    if plan.adapters:
        wanted.append(Candidate.adapter_id.in_(list(plan.adapters)))
    return wanted


def _texts(session: Session, plan: BatchPlan, prompts: Sequence[int]) -> dict[int, list[_Text]]:
    query = (
        select(Candidate.prompt_id, Candidate.id, Candidate.adapter_id, Candidate.text)
        .where(Candidate.prompt_id.in_(prompts), *_wanted(plan))
        .order_by(Candidate.prompt_id, Candidate.id)
    )
    found: dict[int, list[_Text]] = {}
    for prompt_id, candidate_id, adapter_id, text in session.execute(query):
        found.setdefault(prompt_id, []).append(_Text(candidate_id, adapter_id, text))
    return found


def _pairs(texts: Sequence[_Text], with_itself: bool) -> Iterator[tuple[_Text, _Text]]:
    """One pair for every two adapters of a prompt: the newest candidate of each.

    With one adapter only: its candidates two by two, each in one pair.
    """
    if with_itself:
        yield from zip(texts[::2], texts[1::2], strict=False)
        return
    newest = {each.adapter_id: each for each in texts}
    yield from combinations([newest[adapter] for adapter in sorted(newest)], 2)
