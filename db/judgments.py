"""The judgments that stand, under a filter: as columns for statistics, or as one table.

Reads only. Judgments come from ``db.blocks`` and their young rows; who judged and where is added
from the small tables. Statistics are elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from db import blocks
from db.models import (
    Annotator,
    AnnotatorKind,
    Batch,
    BatchKind,
    Round,
    Verdict,
)
from preference.report_input import Columns

COLUMNS = (
    "item_a",
    "item_b",
    "verdict",
    "strength",
    "annotator",
    "annotator_kind",
    "prompt",
    "persona",
    "placement",
    "weight",
    "round",
    "batch",
    "batch_kind",
    "comparison",
    "judgment",
    "created_at",
)
NOBODY = "(none)"
"""The label of judgments without a persona."""
_NO_ROUND = 0
_SMALL_ID = 1 << 22

pandas: Any = pd
Array = NDArray[Any]


@dataclass(frozen=True)
class Tables:
    """The small tables that standing judgments point into, as of one moment.

    Attributes:
        annotators: id to name.
        kinds: annotator's id to kind.
        batches: id to name.
        batch_kinds: batch's id to kind.
        rounds: batch's id to the number of its round, where it has one.
        gold: ids of the batches whose comparisons are gold, not work.
    """

    annotators: Mapping[int, str]
    kinds: Mapping[int, str]
    batches: Mapping[int, str]
    batch_kinds: Mapping[int, str]
    rounds: Mapping[int, int]
    gold: frozenset[int] = frozenset()


def tables(session: Session) -> Tables:
    """Annotators, batches and rounds."""
    people = session.execute(select(Annotator.id, Annotator.name, Annotator.kind)).all()
    batches: Sequence[Any] = session.execute(
        select(
            Batch.id,
            Batch.name,
            Batch.kind,
            func.coalesce(Round.number, Batch.round_number),
            Batch.purpose,
        )
        .outerjoin(Round, or_(Round.label_batch_id == Batch.id, Round.blind_batch_id == Batch.id))
        .order_by(Batch.id)
    ).all()
    return Tables(
        annotators={row[0]: row[1] for row in people},
        kinds={row[0]: row[2].value for row in people},
        batches={row[0]: row[1] for row in batches},
        batch_kinds={row[0]: row[2].value for row in batches},
        rounds={row[0]: row[3] for row in batches if row[3] is not None},
        gold=frozenset(row[0] for row in batches if row[4] == "gold"),
    )


def chosen(
    packed: blocks.Packed,
    known: Tables,
    *,
    persona: str | None = None,
    round: int | None = None,
    batch_kind: BatchKind | str | None = None,
    include_simulated: bool = True,
) -> blocks.Packed:
    """The judgments that a filter leaves; those of gold batches never count.

    Args:
        packed: Standing judgments.
        known: The tables they point into.
        persona: Only of this slug.
        round: Only of the rounds of this number.
        batch_kind: Only of batches of this kind.
        include_simulated: Whether judgments by annotators that are no people stay too.
    """
    keep = np.ones(packed.n, dtype=np.bool_)
    if known.gold:
        keep &= looked_up(packed.batch, dict.fromkeys(known.gold, 1), 0) == 0
    if persona is not None:
        place = packed.personas.index(persona) if persona in packed.personas else -1
        keep &= packed.persona == place
    if round is not None:
        keep &= looked_up(packed.batch, known.rounds, _NO_ROUND) == round
    if batch_kind is not None:
        wanted = BatchKind(batch_kind).value
        in_kind = {batch: int(kind == wanted) for batch, kind in known.batch_kinds.items()}
        keep &= looked_up(packed.batch, in_kind, 0) == 1
    if not include_simulated:
        human = AnnotatorKind.HUMAN.value
        people = {who: int(kind == human) for who, kind in known.kinds.items()}
        keep &= looked_up(packed.annotator, people, 0) == 1
    return packed.where(keep)


def columns_of(packed: blocks.Packed, known: Tables, source: str = "the ledger") -> Columns:
    """Judgments as the statistics take them; items are adapters."""
    annotators, who = ranked_ids(packed.annotator)
    names = [known.annotators[int(each)] for each in annotators]
    kinds = [known.kinds[int(each)] for each in annotators]
    rounds = looked_up(packed.batch, known.rounds, _NO_ROUND)
    numbers = sorted({*known.rounds.values(), _NO_ROUND})
    of_round = np.searchsorted(numbers, rounds)
    prompts, prompt = ranked_ids(packed.prompt)
    comparisons, comparison = ranked_ids(packed.comparison)
    lengths = _known_lengths(packed)
    return Columns(
        pandas.Categorical.from_codes(packed.adapter_a, list(packed.adapters)),
        pandas.Categorical.from_codes(packed.adapter_b, list(packed.adapters)),
        packed.verdict,
        annotator=labelled(who, names),
        prompt=pandas.Categorical.from_codes(prompt, prompts),
        persona=labelled(
            np.minimum(packed.persona, len(packed.personas)), [*packed.personas, NOBODY]
        ),
        comparison=pandas.Categorical.from_codes(comparison, comparisons),
        annotator_kind=labelled(np.asarray(who), kinds, merge=True),
        round=labelled(of_round, [str(number or NOBODY) for number in numbers]),
        placement=packed.placement,
        weight=packed.weight if packed.n and not (packed.weight == 1).all() else None,
        strength=np.maximum(packed.strength, 1).astype(np.float64),
        when=packed.created / 1e6,
        length_a=lengths[0],
        length_b=lengths[1],
        length_unit="characters" if lengths[0] is not None else "the texts are not known",
        source=source,
    )


def standing_frame(
    session: Session,
    *,
    persona: str | None = None,
    round: int | None = None,
    batch_kind: BatchKind | str | None = None,
    include_simulated: bool = True,
) -> pd.DataFrame:
    """Every standing judgment as a row, in canonical order; filters as those of ``chosen``.

    Returns:
        Columns ``item_a, item_b`` (adapter ids), ``verdict``, ``strength``, ``annotator`` (name),
        ``annotator_kind``, ``prompt`` (id), ``persona``, ``placement`` (+1 canonical A first, −1
        second, 0 unknown), ``weight``, ``round`` (number or missing), ``batch`` (name),
        ``batch_kind``, ``comparison``, ``judgment`` (ids), ``created_at``; by judgment id.
    """
    known = tables(session)
    packed = chosen(
        blocks.standing(session),
        known,
        persona=persona,
        round=round,
        batch_kind=batch_kind,
        include_simulated=include_simulated,
    )
    adapters = np.array([*packed.adapters, None], dtype=object)
    personas = np.array([*packed.personas, None], dtype=object)
    verdicts = np.array([verdict.value for verdict in Verdict], dtype=object)
    rounds = pandas.array(looked_up(packed.batch, known.rounds, _NO_ROUND), dtype="Int64")
    rounds[rounds == _NO_ROUND] = pandas.NA
    strengths = pandas.array(packed.strength.astype(np.int64), dtype="Int64")
    strengths[strengths == 0] = pandas.NA
    values: dict[str, Any] = {
        "item_a": adapters[packed.adapter_a],
        "item_b": adapters[packed.adapter_b],
        "verdict": verdicts[packed.verdict],
        "strength": strengths,
        "annotator": _named(packed.annotator, known.annotators),
        "annotator_kind": _named(packed.annotator, known.kinds),
        "prompt": packed.prompt.astype(np.int64),
        "persona": personas[np.minimum(packed.persona, len(packed.personas))],
        "placement": packed.placement.astype(np.int64),
        "weight": packed.weight,
        "round": rounds,
        "batch": _named(packed.batch, known.batches),
        "batch_kind": _named(packed.batch, known.batch_kinds),
        "comparison": packed.comparison.astype(np.int64),
        "judgment": packed.judgment.astype(np.int64),
        "created_at": pandas.to_datetime(packed.created, unit="us", utc=True),
    }
    plain = ("item_a", "item_b", "verdict", "annotator", "annotator_kind", "persona")
    for name in (*plain, "batch", "batch_kind"):
        values[name] = pandas.Series(values[name], dtype="object")
    return pd.DataFrame({name: values[name] for name in COLUMNS})


def ranked_ids(ids: Array) -> tuple[Array, Array]:
    """The ids that occur, in rising order, and each one's place among them."""
    if not len(ids):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if ids.strides == (0,):  # one value, kept once
        return ids[:1], np.broadcast_to(np.zeros((), dtype=np.int32), len(ids))
    top = int(ids.max())
    if top > max(_SMALL_ID, 4 * len(ids)):
        unique, codes = np.unique(ids, return_inverse=True)
        return unique, codes
    seen = np.zeros(top + 1, dtype=np.bool_)
    seen[ids] = True
    unique = np.flatnonzero(seen)
    place = np.zeros(top + 1, dtype=np.int32)
    place[unique] = np.arange(len(unique), dtype=np.int32)
    return unique, place[ids]


def looked_up(ids: Array, values: Mapping[int, int], missing: int) -> Array:
    """A small number for each id."""
    unique, codes = ranked_ids(ids)
    table = np.array([values.get(int(each), missing) for each in unique], dtype=np.int64)
    return table[codes] if len(table) else np.zeros(0, dtype=np.int64)


def labelled(codes: Array, names: list[str], *, merge: bool = False) -> Any:
    """A categorical of names that may stand in any order (and, to merge, repeatedly)."""
    unique = sorted(set(names))
    if not merge and len(unique) != len(names):
        raise ValueError("names repeat")
    place = {name: at for at, name in enumerate(unique)}
    table = np.array([place[name] for name in names] or [0], dtype=np.int32)
    return pandas.Categorical.from_codes(table[codes], unique)


def _known_lengths(packed: blocks.Packed) -> tuple[Array | None, Array | None]:
    """Lengths of the texts, NaN where one is not known; None where none is."""
    both = packed.length_a, packed.length_b
    if not any(length.any() for length in both):
        return None, None
    first, second = (length.astype(np.float64) for length in both)
    first[packed.length_a == 0] = np.nan
    second[packed.length_b == 0] = np.nan
    return first, second


def _named(ids: Array, names: Mapping[int, str]) -> Any:
    unique, codes = ranked_ids(ids)
    return np.array([*(names[int(each)] for each in unique), None], dtype=object)[codes]
