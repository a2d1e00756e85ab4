"""Which comparisons an adapter lost, over what, and where: counted, found and sorted by SQL.

Reads only. A scope (adapter, persona, round, people only, against whom) says which judgments
count; a wish (kind, reason, words, order) says which of its comparisons are listed. One pass over
the scope's judgments tallies each comparison; texts are read elsewhere, a page at a time.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CTE, ColumnElement, String, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.failure_words import carries, matching, prompts_with, tag_values
from db.models import (
    Annotator,
    AnnotatorKind,
    Batch,
    Candidate,
    Comparison,
    Judgment,
    Prompt,
    Retraction,
    Round,
    Verdict,
)


class Against(StrEnum):
    """Whom the adapter met: others, or itself (two of its own responses, as training asks)."""

    OTHERS = "others"
    ITSELF = "itself"


class Kind(StrEnum):
    """What went wrong in a comparison."""

    LOST = "lost"
    """More judgments preferred the other response than this one."""
    MUCH = "much"
    """Lost, and at least half of those who preferred the other said much better."""
    BOTH_BAD = "both_bad"
    """At least half of the judgments found both bad."""
    FLAGGED = "flagged"
    """Somebody flagged it."""


class Order(StrEnum):
    """Which comparison comes first."""

    AGREED = "agreed"
    NEWEST = "newest"


@dataclass(frozen=True)
class Scope:
    """Which judgments count.

    Attributes:
        adapter: Whose failures.
        persona: Only as this persona (slug); None for comparisons that have none.
        round: Only of the rounds of this number, those that an import told included.
        people_only: Leave out simulated and automatic annotators.
        against: Other adapters, or itself: then the response that lost is "this one".
    """

    adapter: str
    persona: str | None = None
    round: int | None = None
    people_only: bool = False
    against: Against = Against.OTHERS


@dataclass(frozen=True)
class Wish:
    """Which comparisons of a scope are listed, and in which order."""

    kind: Kind = Kind.LOST
    tag: str | None = None
    search: str = ""
    order: Order = Order.AGREED


@dataclass(frozen=True)
class Group:
    """Comparisons of one journey and intent. Counts of judgments but for the first five.

    Attributes:
        journey: The prompts' journey, where known.
        intent: Their intent, where known.
        comparisons: Judged comparisons.
        lost: Those of them lost.
        explained: Lost ones with at least one reason.
        units: Comparisons with a judgment that is not both bad.
        flagged: Comparisons that somebody flagged.
        judgments: Standing judgments.
        simulated: Those of them by simulated annotators.
        automatic: Those of them by automatic judges.
        wins: Preferred this adapter's response.
        losses: Preferred the other.
        ties: Found them equal.
        both_bad: Found both bad.
        score2: Sum over comparisons of S squared, S being its wins and half its ties.
        cross: Sum of S times N, N being its wins, losses and ties.
        weight2: Sum of N squared.
        newest: Id of the newest judgment.
    """

    journey: str | None
    intent: str | None
    comparisons: int
    lost: int
    explained: int
    units: int
    flagged: int
    judgments: int
    simulated: int
    automatic: int
    wins: int
    losses: int
    ties: int
    both_bad: int
    score2: float
    cross: float
    weight2: float
    newest: int


@dataclass(frozen=True)
class Standing:
    """How one comparison stands, from the adapter's side; counts of judgments.

    Attributes:
        comparison: Its id.
        side: ``a`` or ``b``: where this adapter's response (or the one that lost) is.
        wins: Preferred this response.
        losses: Preferred the other.
        much: Those of the losses that said much better.
        ties: Found them equal.
        both_bad: Found both bad.
        n: All of them.
        flags: Flagged it.
        simulated: By simulated annotators.
        automatic: By automatic judges.
    """

    comparison: int
    side: str
    wins: int
    losses: int
    much: int
    ties: int
    both_bad: int
    n: int
    flags: int
    simulated: int
    automatic: int


@dataclass(frozen=True)
class Found:
    """A stretch of the list, and how long the whole list is."""

    total: int
    rows: tuple[Standing, ...]


def groups(session: Session, scope: Scope) -> list[Group]:
    """The scope's comparisons by journey and intent, the most often lost first."""
    each = _outcomes(session, scope)
    score, weight = each.c.wins + each.c.ties / 2.0, each.c.wins + each.c.losses + each.c.ties
    lost = each.c.losses > each.c.wins
    counts: list[ColumnElement[Any]] = [
        func.count(),
        number(lost),
        number(lost & (each.c.reasons > 0)),
        number(weight > 0),
        number(each.c.flags > 0),
        *(
            func.sum(each.c[name])
            for name in ("n", "simulated", "automatic", "wins", "losses", "ties", "both_bad")
        ),
        func.sum(score * score),
        func.sum(score * weight),
        func.sum(weight * weight),
        func.max(each.c.newest),
    ]
    rows = session.execute(
        select(Prompt.journey, Prompt.intent, *counts)
        .select_from(each)
        .join(Prompt, Prompt.id == each.c.prompt_id)
        .group_by(Prompt.journey, Prompt.intent)
    ).all()
    found = [
        Group(*row[:2], *(int(value) for value in row[2:14]), *map(float, row[14:17]), int(row[17]))
        for row in rows
    ]
    return sorted(found, key=lambda g: (-g.lost, g.journey or "", g.intent or ""))


def reasons(session: Session, scope: Scope, most: int = 40) -> list[tuple[str, int]]:
    """Reasons given for losses, with the number of lost comparisons that carry each.

    Only from judgments that preferred the other response or found both bad: what a winner's
    judge praised says nothing of the loser.
    """
    each = _outcomes(session, scope)
    tag, source = tag_values(session, Judgment.tags)
    how_many = func.count(Judgment.comparison_id.distinct())
    query = (
        select(tag, how_many)
        .select_from(each)
        .join(Judgment, Judgment.comparison_id == each.c.id)
        .join(source, carries(Judgment.tags))
        .where(
            each.c.losses > each.c.wins,
            _standing(scope),
            or_(
                Judgment.verdict == Verdict.BOTH_BAD,
                and_(Judgment.verdict == Verdict.A, each.c.side == "b"),
                and_(Judgment.verdict == Verdict.B, each.c.side == "a"),
            ),
        )
        .group_by(tag)
        .order_by(how_many.desc(), tag)
        .limit(most)
    )
    return [(str(word), n) for word, n in session.execute(query).all()]


def find(session: Session, scope: Scope, wish: Wish, *, limit: int, offset: int = 0) -> Found:
    """A stretch of the comparisons that a wish names.

    The order ``agreed`` puts first what most judgments say with most agreement: the share of
    judgments that say it, with one more judgment of doubt, so that 4 of 4 comes before 1 of 1.

    Args:
        session: A reader's.
        scope: Which judgments count.
        wish: Which comparisons, in which order.
        limit: At most so many.
        offset: After so many.
    """
    each = _outcomes(session, scope, wish)
    said = {
        Kind.LOST: each.c.losses,
        Kind.MUCH: each.c.much,
        Kind.BOTH_BAD: each.c.both_bad,
        Kind.FLAGGED: each.c.flags,
    }[wish.kind]
    lost = each.c.losses > each.c.wins
    query = select(
        *(each.c[name] for name in ("id", "side", "wins", "losses", "much", "ties", "both_bad")),
        *(each.c[name] for name in ("n", "flags", "simulated", "automatic")),
        func.count().over(),
    ).where(
        {
            Kind.LOST: lost,
            Kind.MUCH: lost & (2 * each.c.much >= each.c.losses),
            Kind.BOTH_BAD: 2 * each.c.both_bad >= each.c.n,
            Kind.FLAGGED: each.c.flags > 0,
        }[wish.kind]
    )
    if wish.tag is not None:
        query = query.where(each.c.tagged > 0)
    if wish.search:
        query = query.where(or_(each.c.in_texts > 0, each.c.in_comments > 0))
    if wish.order is Order.AGREED:
        query = query.order_by((1.0 * said / (each.c.n + 1)).desc(), each.c.n.desc())
    rows = session.execute(
        query.order_by(each.c.newest.desc(), each.c.id).limit(limit).offset(offset)
    ).all()
    return Found(rows[0][-1] if rows else 0, tuple(Standing(*row[:-1]) for row in rows))


def newest_at(session: Session, judgment: int) -> datetime | None:
    """When a judgment was given."""
    return session.scalar(select(Judgment.created_at).where(Judgment.id == judgment))


def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows of a group fulfil a condition."""
    return func.sum(case((condition, 1), else_=0))


def _standing(scope: Scope) -> ColumnElement[bool]:
    """Judgments that nobody took back, of the annotators that count."""
    kept = Judgment.id.not_in(select(Retraction.judgment_id))
    if not scope.people_only:
        return kept
    return kept & Judgment.annotator_id.in_(_of_kind(AnnotatorKind.HUMAN))


def _of_kind(kind: AnnotatorKind) -> Any:
    return select(Annotator.id).where(Annotator.kind == kind)


def _sides(session: Session, scope: Scope, wish: Wish) -> CTE:
    """The scope's comparisons with the adapter's place in them, and whether their texts match."""
    a, b = aliased(Candidate), aliased(Candidate)
    if scope.against is Against.ITSELF:
        who, side = and_(a.adapter_id == scope.adapter, b.adapter_id == scope.adapter), None
    else:
        who = or_(
            and_(a.adapter_id == scope.adapter, b.adapter_id != scope.adapter),
            and_(a.adapter_id != scope.adapter, b.adapter_id == scope.adapter),
        )
        side = case((a.adapter_id == scope.adapter, "a"), else_="b")
    columns: list[Any] = [Comparison.id, Comparison.prompt_id]
    if side is not None:
        columns.append(side.label("side"))
    if wish.search:
        found = or_(
            Comparison.prompt_id.in_(prompts_with(session, wish.search)),
            matching(a.text, wish.search),
            matching(b.text, wish.search),
        )
        columns.append(case((found, 1), else_=0).label("in_texts"))
    query = (
        select(*columns)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .where(who)
    )
    if scope.persona is None:
        query = query.where(Comparison.persona_slug.is_(None))
    else:
        query = query.where(Comparison.persona_slug == scope.persona)
    if scope.round is not None:
        asked = (
            select(Batch.id)
            .outerjoin(Round, or_(Round.label_batch_id == Batch.id, Round.blind_batch_id == Batch.id))
            .where(func.coalesce(Round.number, Batch.round_number) == scope.round)
        )
        query = query.where(Comparison.batch_id.in_(asked))
    return query.cte("side")


def _outcomes(session: Session, scope: Scope, wish: Wish | None = None) -> CTE:
    """Each comparison of the scope with what its judgments said, from the adapter's side."""
    wish = wish or Wish()
    sides = _sides(session, scope, wish)
    preferred = {"a": Judgment.verdict == Verdict.A, "b": Judgment.verdict == Verdict.B}
    bad = Judgment.verdict == Verdict.BOTH_BAD
    given = carries(Judgment.tags)
    columns: list[ColumnElement[Any]] = [
        number(Judgment.verdict == Verdict.TIE).label("ties"),
        number(bad).label("both_bad"),
        func.count().label("n"),
        number(Judgment.flag.is_not(None)).label("flags"),
        number(Judgment.annotator_id.in_(_of_kind(AnnotatorKind.SIMULATED))).label("simulated"),
        number(Judgment.annotator_id.in_(_of_kind(AnnotatorKind.AUTOMATIC))).label("automatic"),
        func.max(Judgment.id).label("newest"),
    ]
    for letter, yes in preferred.items():
        columns.append(number(yes).label(f"for_{letter}"))
        columns.append(number(yes & (Judgment.strength == 2)).label(f"much_{letter}"))
        columns.append(number(given & or_(yes, bad)).label(f"reasons_{letter}"))
    if wish.tag is not None:
        tag, source = tag_values(session, Judgment.tags)
        has = given & select(tag).select_from(source).where(tag == wish.tag).exists()
        for letter, yes in preferred.items():
            columns.append(number(or_(yes, bad) & has).label(f"tagged_{letter}"))
    if wish.search:
        columns.append(func.max(sides.c.in_texts).label("in_texts"))
        columns.append(number(matching(Judgment.comment, wish.search)).label("in_comments"))
    fixed = "side" in sides.c
    keys = [sides.c.id, sides.c.prompt_id, *([sides.c.side] if fixed else [])]
    tally = (
        select(*keys, *columns)
        .select_from(sides)
        .join(Judgment, Judgment.comparison_id == sides.c.id)
        .where(_standing(scope))
        .group_by(*keys)
        .cte("tally")
    )
    t = tally.c
    # Against itself "this" response is the one that lost.
    side = t.side if fixed else case((t.for_a > t.for_b, "b"), else_="a")

    def ours(name: str) -> ColumnElement[Any]:
        return case((side == "a", t[f"{name}_a"]), else_=t[f"{name}_b"])

    def theirs(name: str) -> ColumnElement[Any]:
        return case((side == "a", t[f"{name}_b"]), else_=t[f"{name}_a"])

    out = [
        *(t[name] for name in ("id", "prompt_id", "ties", "both_bad", "n", "flags", "simulated")),
        *(t[name] for name in ("automatic", "newest")),
        cast(side, String).label("side"),
        ours("for").label("wins"),
        theirs("for").label("losses"),
        theirs("much").label("much"),
        theirs("reasons").label("reasons"),
    ]
    if wish.tag is not None:
        out.append(theirs("tagged").label("tagged"))
    if wish.search:
        out += [t.in_texts, t.in_comments]
    return select(*out).cte("outcome")
