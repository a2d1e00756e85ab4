"""Judgments by column, in sealed blocks, so that a report on a million need not read their rows.

A block holds the columns that statistics ask for of ``BLOCK`` judgments, in the order of their ids.
It is sealed inside the transaction that writes a later judgment, and never changed: judgments and
what they point at are append-only. What is younger than the last block is read from the rows, and
what was taken back from the table of retractions, so that blocks and rows together always tell the
standing judgments of this moment. Knows no statistics and no filter.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import String, delete, func, select, text, type_coerce
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, aliased

from db.errors import LedgerError
from db.models import Candidate, Comparison, Judgment, JudgmentBlock, Retraction, Verdict

BLOCK = 4096
"""Judgments in a block: packing them takes some 40 ms of the transaction that seals it."""
EVERY = 64
"""A judgment whose id is a multiple of this looks whether a block can be sealed."""
NO_PERSONA = 65535
NO_DWELL = -1

_CODES = {verdict.value: place for place, verdict in enumerate(Verdict)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Packed:
    """Columns of n judgments in the order of their ids; read-only.

    Attributes:
        judgment: ids.
        created: microseconds since 1970, UTC.
        comparison, batch, prompt, annotator: ids.
        adapter_a, adapter_b: places in ``adapters``.
        persona: places in ``personas``; ``NO_PERSONA`` for none.
        verdict: 0 a, 1 b, 2 tie, 3 both_bad, in canonical order.
        placement: +1 canonical A first, −1 second, 0 unknown.
        strength: 1 or 2; 0 for ties and both_bad.
        dwell_ms: ``NO_DWELL`` where it is not known.
        length_a, length_b: characters of the two texts; 0 where a text is not known.
        weight: numbers above zero.
        adapters, personas: names, sorted.
    """

    judgment: NDArray[np.int32]
    created: NDArray[np.int64]
    comparison: NDArray[np.int32]
    batch: NDArray[np.int32]
    prompt: NDArray[np.int32]
    annotator: NDArray[np.int32]
    dwell_ms: NDArray[np.int32]
    length_a: NDArray[np.int32]
    length_b: NDArray[np.int32]
    adapter_a: NDArray[np.uint16]
    adapter_b: NDArray[np.uint16]
    persona: NDArray[np.uint16]
    verdict: NDArray[np.uint8]
    placement: NDArray[np.int8]
    strength: NDArray[np.uint8]
    weight: NDArray[np.float64]
    adapters: tuple[str, ...]
    personas: tuple[str, ...]

    @property
    def n(self) -> int:
        """How many."""
        return len(self.judgment)

    def where(self, mask: Array) -> "Packed":
        """Those for which a boolean mask is true."""
        if mask.all():
            return self
        rows = np.flatnonzero(mask)
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})


COLUMNS: dict[str, str] = {
    "judgment": "<i4",
    "created": "<i8",
    "comparison": "<i4",
    "batch": "<i4",
    "prompt": "<i4",
    "annotator": "<i4",
    "dwell_ms": "<i4",
    "length_a": "<i4",
    "length_b": "<i4",
    "adapter_a": "<u2",
    "adapter_b": "<u2",
    "persona": "<u2",
    "verdict": "u1",
    "placement": "i1",
    "strength": "u1",
    "weight": "<f8",
}
assert [*COLUMNS, "adapters", "personas"] == [field.name for field in fields(Packed)]


def seal(session: Session, most: int | None = 1) -> int:
    """Seal the oldest judgments that fill whole blocks; returns how many blocks.

    On SQLite the writing transaction is alone; on PostgreSQL other writers may hold smaller ids
    that nobody sees yet, so the table is locked against them, and where it cannot be had at once a
    later judgment tries again.

    Args:
        session: A session that may write.
        most: Blocks at most; None for all there are.
    """
    made = 0
    while most is None or made < most:
        after = last_sealed(session)
        if not _full(session, after):
            return made
        if made == 0 and not _alone(session):
            return made
        rows = _rows(session, after, BLOCK)
        if len(rows) < BLOCK:
            return made
        session.add(_block(packed_of(rows)))
        session.flush()
        made += 1
    return made


def pending(session: Session) -> bool:
    """Whether a block could be sealed now."""
    return _full(session, last_sealed(session))


def sealed(session: Session) -> Packed:
    """What the blocks hold, retracted judgments too.

    Raises:
        LedgerError: A block is damaged.
    """
    query = select(
        JudgmentBlock.last_id,
        JudgmentBlock.judgments,
        JudgmentBlock.names,
        JudgmentBlock.content,
    ).order_by(JudgmentBlock.last_id)
    return joined([_unpacked(*row) for row in session.execute(query)])


def last_sealed(session: Session) -> int:
    """The newest judgment that is in a block; 0 without any."""
    return session.scalar(select(func.max(JudgmentBlock.last_id))) or 0


def standing(session: Session, blocks: Packed | None = None) -> Packed:
    """Every judgment that stands, at this moment.

    Args:
        session: A session; a reader's is best.
        blocks: What ``sealed`` gave earlier, to spare reading it again. Judgments that were sealed
            since are read from their rows.
    """
    known = sealed(session) if blocks is None else blocks
    after = int(known.judgment[-1]) if known.n else 0
    young = packed_of(_rows(session, after))
    both = joined([known, young]) if young.n else known
    gone = np.fromiter(session.scalars(select(Retraction.judgment_id)), dtype=np.int32)
    if not len(gone):
        return both
    place = np.searchsorted(both.judgment, gone)
    place = place[place < both.n]
    keep = np.ones(both.n, dtype=np.bool_)
    keep[place[np.isin(both.judgment[place], gone)]] = False
    return both.where(keep)


def verify(session: Session) -> Iterator[str]:
    """What is wrong with the blocks, each in a line that names the judgments."""
    before = 0
    heads = session.execute(
        select(JudgmentBlock.last_id, JudgmentBlock.first_id).order_by(JudgmentBlock.last_id)
    ).all()
    for last, first in heads:
        block = session.get_one(JudgmentBlock, last)
        rows = packed_of(_rows(session, before, up_to=last))
        fresh = _block(rows) if rows.n else None
        if fresh is None or fresh.judgments != block.judgments or fresh.first_id != first:
            yield f"judgments {first} to {last}: {rows.n} rows, {block.judgments} in their block"
        elif fresh.sha256 != block.sha256 or _digest(block.names, block.content) != block.sha256:
            yield f"judgments {first} to {last}: their block says something else than their rows"
        session.expunge(block)
        before = last


def rebuild(session: Session, since: int = 0) -> int:
    """Drop the blocks of a judgment and all later ones, and seal them again; returns how many."""
    session.execute(delete(JudgmentBlock).where(JudgmentBlock.last_id >= since))
    return seal(session, None)


def refresh(session: Session, comparisons: Sequence[int]) -> None:
    """Make the blocks anew whose judgments are of comparisons that just got their texts."""
    first: list[int] = []
    for start in range(0, len(comparisons), 500):
        some = comparisons[start : start + 500]
        query = select(func.min(Judgment.id)).where(Judgment.comparison_id.in_(some))
        first += [found for found in [session.scalar(query)] if found is not None]
    if first and min(first) <= last_sealed(session):
        rebuild(session, min(first))


def fingerprint(session: Session) -> str:
    """What tells one state of the blocks from another."""
    hashes = session.scalars(select(JudgmentBlock.sha256).order_by(JudgmentBlock.last_id))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def packed_of(rows: Sequence[Any]) -> Packed:
    """Rows of ``_rows`` as columns."""
    values: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    told: dict[str, Sequence[Any]] = dict(zip(COLUMNS, values, strict=True))
    adapters = sorted({*told["adapter_a"], *told["adapter_b"]})
    personas = sorted({name for name in told["persona"] if name is not None})
    of_adapter = {name: place for place, name in enumerate(adapters)}
    of_persona = {name: place for place, name in enumerate(personas)} | {None: NO_PERSONA}
    told["created"] = [(moment - _EPOCH) // _MICROSECOND for moment in told["created"]]
    told["dwell_ms"] = [NO_DWELL if ms is None else min(ms, 2**31 - 1) for ms in told["dwell_ms"]]
    told["adapter_a"] = [of_adapter[name] for name in told["adapter_a"]]
    told["adapter_b"] = [of_adapter[name] for name in told["adapter_b"]]
    told["persona"] = [of_persona[name] for name in told["persona"]]
    told["verdict"] = [_CODES[name] for name in told["verdict"]]
    told["strength"] = [strength or 0 for strength in told["strength"]]
    arrays = {name: np.array(told[name], dtype=kind) for name, kind in COLUMNS.items()}
    return Packed(**arrays, adapters=tuple(adapters), personas=tuple(personas))


def joined(parts: Sequence[Packed]) -> Packed:
    """Columns one after the other, with one table of names for all."""
    if len(parts) == 1:
        return parts[0]
    adapters = sorted({name for part in parts for name in part.adapters})
    personas = sorted({name for part in parts for name in part.personas})
    columns: dict[str, list[Array]] = {name: [] for name in COLUMNS}
    for part in parts:
        of_adapter = np.searchsorted(adapters, part.adapters).astype("<u2")
        of_persona = np.full(NO_PERSONA + 1, NO_PERSONA, dtype="<u2")
        of_persona[: len(part.personas)] = np.searchsorted(personas, part.personas)
        for name in COLUMNS:
            values = getattr(part, name)
            if name in ("adapter_a", "adapter_b") and part.adapters != tuple(adapters):
                values = of_adapter[values]
            elif name == "persona" and part.personas != tuple(personas):
                values = of_persona[values]
            columns[name].append(values)
    arrays = {name: _end_to_end(columns[name], kind) for name, kind in COLUMNS.items()}
    return Packed(**arrays, adapters=tuple(adapters), personas=tuple(personas))


def _end_to_end(parts: Sequence[Array], kind: str) -> Array:
    """The parts one after the other; one value that is all of them is kept once."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return np.zeros(0, dtype=kind)
    first = filled[0]
    if all(part.strides == (0,) and part[0] == first[0] for part in filled):
        return _constant(first[0], kind, sum(len(part) for part in filled))
    return np.concatenate(filled)


def _alike(values: Array) -> bool:
    return bool((values == values[0]).all())


def _constant(value: Any, kind: str, n: int) -> Array:
    """An array of one value, kept once."""
    return np.broadcast_to(np.array(value, dtype=kind), n)


def _block(packed: Packed) -> JudgmentBlock:
    constant = {
        name: values[0].item() for name in COLUMNS if _alike(values := getattr(packed, name))
    }
    names = {
        "adapters": list(packed.adapters),
        "personas": list(packed.personas),
        "constant": constant,
    }
    content = b"".join(
        np.ascontiguousarray(getattr(packed, name), dtype=kind).tobytes()
        for name, kind in COLUMNS.items()
        if name not in constant
    )
    return JudgmentBlock(
        last_id=int(packed.judgment[-1]),
        first_id=int(packed.judgment[0]),
        judgments=packed.n,
        names=names,
        content=content,
        sha256=_digest(names, content),
    )


def _unpacked(last_id: int, judgments: int, names: dict[str, Any], content: bytes) -> Packed:
    arrays: dict[str, Array] = {}
    at = 0
    for name, kind in COLUMNS.items():
        if name in names["constant"]:
            arrays[name] = _constant(names["constant"][name], kind, judgments)
            continue
        size = judgments * np.dtype(kind).itemsize
        if at + size > len(content):
            break
        arrays[name] = np.frombuffer(content, dtype=kind, count=judgments, offset=at)
        at += size
    if len(arrays) < len(COLUMNS) or at != len(content):
        raise LedgerError(
            f"the block of judgments up to {last_id} is damaged (the judgments are not):"
            " make it again with `personaloop doctor --rebuild-blocks`"
        )
    return Packed(**arrays, adapters=tuple(names["adapters"]), personas=tuple(names["personas"]))


def _digest(names: dict[str, Any], content: bytes) -> str:
    head = json.dumps(names, ensure_ascii=False, sort_keys=True).encode()
    return hashlib.sha256(head + b"\n" + content).hexdigest()


def _rows(
    session: Session, after: int, most: int | None = None, up_to: int | None = None
) -> Sequence[Any]:
    """Judgments with ids above ``after``, in their order, a value for each of ``COLUMNS``."""
    a, b = aliased(Candidate), aliased(Candidate)
    query = (
        select(
            Judgment.id,
            Judgment.created_at,
            Judgment.comparison_id,
            Comparison.batch_id,
            Comparison.prompt_id,
            Judgment.annotator_id,
            Judgment.dwell_ms,
            func.length(a.text),
            func.length(b.text),
            a.adapter_id,
            b.adapter_id,
            Comparison.persona_slug,
            type_coerce(Judgment.verdict, String),
            Judgment.placement,
            Judgment.strength,
            Judgment.weight,
        )
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .where(Judgment.id > after)
        .order_by(Judgment.id)
    )
    if up_to is not None:
        query = query.where(Judgment.id <= up_to)
    return session.execute(query.limit(most)).all()


def _full(session: Session, after: int) -> bool:
    """Whether a block's worth of judgments is there above an id."""
    ids = select(Judgment.id).where(Judgment.id > after).order_by(Judgment.id)
    return session.scalar(ids.offset(BLOCK - 1).limit(1)) is not None


def _alone(session: Session) -> bool:
    """Keep other writers of judgments away until the transaction ends; False where they are in."""
    if session.get_bind().dialect.name == "sqlite":
        return True
    try:
        with session.begin_nested():
            session.execute(text("LOCK TABLE judgment IN SHARE ROW EXCLUSIVE MODE NOWAIT"))
    except OperationalError:
        return False
    return True
