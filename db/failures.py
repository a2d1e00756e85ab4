"""Which comparisons an adapter lost, over what, and where: counted, found and sorted by SQL.

Reads only. One pass over a scope's judgments tallies each comparison; texts are read elsewhere, a
page at a time. What a scope and a wish are is in ``db.failure_scope``.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, String, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.failure_scope import Against, Found, Group, Kind, Order, Scope, Standing, Wish
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

__all__ = [
    "Against",
    "Found",
    "Group",
    "Kind",
    "Order",
    "Scope",
    "Standing",
    "Wish",
    "find",
    "groups",
    "newest_at",
    "reasons",
]


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
    found: list[Group] = []
    for row in rows:
        values: list[Any] = list(row)
        values[2:14] = map(int, values[2:14])
        values[14:17] = map(float, values[14:17])
        found.append(Group(*values))
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
    told: list[list[Any]] = [list(row) for row in rows]
    return Found(told[0][-1] if told else 0, tuple(Standing(*row[:-1]) for row in told))


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
        .where(who, Comparison.batch_id.not_in(select(Batch.id).where(Batch.purpose == "gold")))
    )
    if scope.persona is None:
        query = query.where(Comparison.persona_slug.is_(None))
    else:
        query = query.where(Comparison.persona_slug == scope.persona)
    if scope.round is not None:
        asked = (
            select(Batch.id)
            .outerjoin(
                Round, or_(Round.label_batch_id == Batch.id, Round.blind_batch_id == Batch.id)
            )
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
