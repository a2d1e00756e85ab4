"""Can these judgments be answered at all?

Knows: the graph of wins and ties, its connected groups, and when a likelihood has no finite
maximum. Does not know how ratings are computed.

Ford (1957, Am. Math. Monthly 64:28-33): the Bradley-Terry estimate is finite and unique exactly
when every item has a chain of wins (or ties) to every other, that is, when the directed graph
is strongly connected. With a tie parameter or a placement effect more can go wrong (ties that
only ever join neighbours, a first place that always wins); `separating_direction` finds that by
linear programming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from preference.counts import Cells
from preference.encoding import Floats, Ints, Item
from preference.errors import DisconnectedError, SeparationError, UnidentifiedError
from preference.untyped import csgraph, linprog, sparse


@dataclass(frozen=True)
class Connectivity:
    """How the items hang together.

    Attributes:
        islands: groups with no judgment between them (weakly connected), largest first.
        components: groups within which a chain of wins or ties leads from every item to every
            other (strongly connected), largest first. One component: all ratings are estimable.
        undefeated: items that met others and never lost or tied.
        winless: items that met others and never won or tied.
    """

    islands: tuple[tuple[Item, ...], ...]
    components: tuple[tuple[Item, ...], ...]
    undefeated: tuple[Item, ...]
    winless: tuple[Item, ...]

    @property
    def estimable(self) -> bool:
        """True when plain maximum likelihood has a finite answer for every rating."""
        return len(self.components) == 1


def connectivity(cells: Cells) -> Connectivity:
    """The groups of items in a set of counts; both_bad joins nothing."""
    k = cells.k
    up, down, tie = cells.wins_a > 0, cells.wins_b > 0, cells.ties > 0
    source = np.concatenate([cells.a[up | tie], cells.b[down | tie]])
    target = np.concatenate([cells.b[up | tie], cells.a[down | tie]])
    graph = sparse.coo_array((np.ones(len(source)), (source, target)), shape=(k, k)).tocsr()
    out = np.bincount(source, minlength=k) > 0
    into = np.bincount(target, minlength=k) > 0
    met = out | into
    return Connectivity(
        islands=_groups(cells.items, graph, "weak"),
        components=_groups(cells.items, graph, "strong"),
        undefeated=tuple(cells.items[i] for i in np.flatnonzero(met & ~into)),
        winless=tuple(cells.items[i] for i in np.flatnonzero(met & ~out)),
    )


def _groups(items: tuple[Item, ...], graph: Any, kind: str) -> tuple[tuple[Item, ...], ...]:
    _, label = cast("tuple[int, Ints]", csgraph.connected_components(graph, connection=kind))
    groups: dict[int, list[Item]] = {}
    for item, group in zip(items, label.tolist(), strict=True):
        groups.setdefault(group, []).append(item)
    return tuple(
        tuple(g) for g in sorted(groups.values(), key=lambda g: (-len(g), items.index(g[0])))
    )


def refuse(shape: Connectivity) -> None:
    """Raise the clearest error there is when the ratings are not estimable.

    Raises:
        DisconnectedError: some items were never compared, not even through others.
        SeparationError: items that are undefeated, winless, or split into one-way groups.
    """
    if shape.estimable:
        return
    remedy = "collect judgments between them, or give a prior (prior='firth' or a ridge)"
    if len(shape.islands) > 1:
        remedy = "collect judgments between them, fit them apart, or give a ridge (prior='ridge')"
        raise DisconnectedError(
            f"{len(shape.islands)} groups of items were never compared with each other: "
            f"{listed([listed(g) for g in shape.islands], '; ')}: {remedy}",
            components=shape.components,
            undefeated=shape.undefeated,
            winless=shape.winless,
        )
    causes: list[str] = []
    if shape.undefeated:
        causes.append(f"never lost or tied: {listed(shape.undefeated)}")
    if shape.winless:
        causes.append(f"never won or tied: {listed(shape.winless)}")
    if not causes:
        causes.append(
            "wins run one way only between the groups "
            + listed([listed(g) for g in shape.components], "; ")
        )
    raise SeparationError(
        f"no finite ratings exist ({'; '.join(causes)}): {remedy}",
        components=shape.components,
        undefeated=shape.undefeated,
        winless=shape.winless,
    )


def listed(items: Sequence[Item], separator: str = ", ", most: int = 6) -> str:
    """`x, y, z and 4 more`."""
    shown = separator.join(str(i) for i in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def separating_direction(
    cells: Cells, extra: Floats, extra_names: Sequence[str], *, tie_parameter: bool
) -> None:
    """Prove by linear programming that a finite maximum exists, or say what runs away.

    A direction d with, for every win of a over b, d_eta >= d_tau and, for every tie,
    |d_eta| <= d_tau (for davidson d_tau stands for 2 d log nu; without a tie parameter it is 0 and
    ties need d_eta = 0) never lowers the likelihood. One that is not flat means no finite maximum.

    Args:
        cells: the counts.
        extra: (cells, m) columns that add to a's side (placement, covariates).
        extra_names: m names, for the message.
        tie_parameter: whether the model has one.

    Raises:
        SeparationError: a direction exists; the message names what grows along it.
    """
    k, m = cells.k, extra.shape[1]
    width = k + m + 1
    rows: Ints = np.arange(len(cells.a), dtype=np.int64)
    columns: Ints = np.arange(k, k + m, dtype=np.int64)
    eta = sparse.coo_array(
        (
            np.concatenate([np.ones(len(rows)), -np.ones(len(rows)), extra.ravel()]),
            (
                np.concatenate([rows, rows, np.repeat(rows, m)]),
                np.concatenate([cells.a, cells.b, np.tile(columns, len(rows))]),
            ),
        ),
        shape=(len(rows), width),
    ).tocsr()
    tau = np.zeros(width)
    tau[-1] = 1.0
    tau_rows = sparse.coo_array(np.ones((len(rows), 1)) * tau).tocsr()
    parts: list[Any] = []
    for mask, sign_eta, sign_tau in (
        (cells.wins_a > 0, 1.0, -1.0),
        (cells.wins_b > 0, -1.0, -1.0),
        (cells.ties > 0, 1.0, 1.0),
        (cells.ties > 0, -1.0, 1.0),
    ):
        if mask.any():
            parts.append(sign_eta * eta[mask] + sign_tau * tau_rows[mask])
    g = sparse.vstack(parts).tocsr()
    bounds = [(-1.0, 1.0)] * (k + m) + [(0.0, 1.0) if tie_parameter else (0.0, 0.0)]
    answer = linprog(
        -np.asarray(g.sum(axis=0)).ravel(), A_ub=-g, b_ub=np.zeros(g.shape[0]), bounds=bounds
    )
    if answer.status != 0 or -answer.fun <= 1e-7:
        return
    x = np.asarray(answer.x)
    moving = [str(extra_names[j]) for j in range(m) if abs(x[k + j]) > 1e-6]
    if tie_parameter and x[-1] > 1e-6:
        moving.append("the tie parameter")
    spread = x[:k] - np.median(x[:k])
    moving += [str(cells.items[i]) for i in np.flatnonzero(np.abs(spread) > 1e-6)]
    raise SeparationError(
        f"the judgments are perfectly explained with infinite values of {listed(moving)}, so no "
        "finite estimate exists: collect more, leave out that effect, or give a prior"
    )


def refuse_all_ties(cells: Cells) -> None:
    """Raise when no judgment prefers anything, or none says anything at all.

    Raises:
        UnidentifiedError: only both_bad, or only ties.
    """
    decided = float(cells.wins_a.sum() + cells.wins_b.sum())
    tied = float(cells.ties.sum())
    if decided + tied == 0:
        raise UnidentifiedError("every judgment is both_bad: nothing says which item is preferred")
    if decided == 0:
        raise UnidentifiedError(
            "every judgment is a tie, so the tie parameter has no finite estimate: use ties='half'"
        )
