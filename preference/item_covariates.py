"""Ratings explained by properties of the items: length, family, price.

Knows: judgments, the items' properties, and how much of the free ratings they explain. Does not
know prompts or people.

rating_i = x_i . beta, so eta = (x_a - x_b) . beta (+ gamma * placement): Springall (1973, Applied
Statistics 22:59-68), Critchlow and Fligner (1991, Psychometrika 56:517-533). It is the same
likelihood as `preference.bradley_terry`, whose tie models, Newton steps and sandwiches (plain,
clustered one and two ways) are used, with a design that holds differences of properties instead
of items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from preference.arguments import level
from preference.bradley_terry import TIES, Ties, choose_tie_model
from preference.confounding import refuse_confounded
from preference.connectivity import refuse_all_ties, separating_direction
from preference.counts import Cells, count
from preference.covariance import Uncertainty, Variance, clustered, plain_meat, quantile
from preference.encoding import BOTH_BAD, Floats, Ints, Item, Judgments, encode, encode_clusters
from preference.errors import ConvergenceError, InputError, SeparationError
from preference.item_properties import encode_properties
from preference.lack_of_fit import LackOfFit, lack_of_fit
from preference.newton import Design, Optimum, Prior, log_odds, maximise, wald_parts
from preference.outcomes import TieModel
from preference.results import Estimate

_NONE = Prior()
_SUSPICIOUS = 12.0  # log-odds beyond this are checked for separation


@dataclass(frozen=True, eq=False)
class ItemCovariatesFit:
    """Result of `fit_item_covariates`; arrays are read-only and in the order of `items`.

    Attributes:
        coefficients: property -> effect of one unit more on the log-odds.
        items: labels, sorted.
        ratings: x_i . beta, mean zero over the items.
        se, ci_low, ci_high: their standard errors (of beta alone) and intervals.
        covariance: (k, k) of the ratings; coefficient_covariance: (m, m).
        tie_parameter, placement_effect: as in `BradleyTerryFit`.
        effects: placement and log tie parameter, each an Estimate.
        lack_of_fit: how much the properties leave unexplained.
        log_likelihood, iterations: of the fit.
        clusters, degrees_of_freedom: number of clusters of each way; of the intervals' t.
    """

    coefficients: Mapping[str, Estimate]
    items: tuple[Item, ...]
    ratings: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    covariance: Floats
    coefficient_covariance: Floats
    tie_parameter: float | None
    placement_effect: float | None
    effects: Mapping[str, Estimate]
    lack_of_fit: LackOfFit
    log_likelihood: float
    iterations: int
    tie_model: TieModel
    variance: str
    ci: float
    clusters: tuple[int, ...]
    degrees_of_freedom: float
    n_judgments: int


def fit_item_covariates(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    items: Any,
    *,
    weight: Any = None,
    ties: str = "davidson",
    placement: Any = None,
    cluster: Any = None,
    ci: float = 0.95,
    variance: Variance = "sandwich",
) -> ItemCovariatesFit:
    """Fit ratings that are sums of properties of the items.

    Args:
        item_a: n items: strings, integers or pandas categoricals.
        item_b: n items, the other side.
        verdict: n of `a`, `b`, `tie`, `both_bad`, or uint8 codes 0 to 3.
        items: item -> a number, a sequence of numbers or a mapping of names to values; or a data
            frame indexed by item. Values that are names become one 0/1 property a name.
        weight: n numbers >= 0.
        ties: `half`, `davidson`, `rao_kupper` or `auto`.
        placement: n of +1 (a had first place), -1, 0; fits one effect for all items.
        cluster: one or two label arrays (annotator; annotator and prompt) for robust intervals.
        ci: confidence level.
        variance: `sandwich` or `model`; ignored when `cluster` is given.

    Returns:
        The fit.

    Raises:
        InputError: a value is wrong or an item has no properties; names it.
        ConfoundedError: a property is the same for all that met, or a sum of others.
        SeparationError: a property explains every verdict, so its coefficient is infinite.
        ConvergenceError: the optimum was not reached.
    """
    if ties not in TIES:
        raise InputError(f"ties {ties!r} is unknown: use half, davidson, rao_kupper or auto")
    if variance not in ("sandwich", "model"):
        raise InputError(f"variance {variance!r} is unknown: use sandwich or model")
    ci = level(ci)
    j = _canonical(encode(item_a, item_b, verdict, weight=weight, placement=placement))
    clusters = [] if cluster is None else encode_clusters(cluster, j.n)
    cells = count(j)
    x, names = encode_properties(items, cells.items)
    unit = 2.0 ** np.ceil(np.log2(np.maximum(np.ptp(x, axis=0), 1e-300)))  # powers lose no digit
    model, _ = choose_tie_model(cells, cast("Ties", ties), _NONE)
    used: TieModel = model if (cells.ties > 0).any() else "half"
    if used != "half" or float((cells.wins_a + cells.wins_b + cells.ties).sum()) == 0:
        refuse_all_ties(cells)
    design = _design(cells, x / unit, names)
    refuse_confounded(design, rated=False)
    optimum = _solve(design, used)
    sure = _uncertainty(design, used, optimum, j, clusters, x / unit, cells, ci, variance)
    even = maximise(_design(cells, np.zeros((cells.k, 0)), ()), used, _NONE).log_likelihood
    lack = lack_of_fit(j, clusters, cells, x / unit, used, optimum.log_likelihood, even, variance)
    return _result(
        design, used, model, optimum, sure, lack, cells, x, unit, names, variance, ci, j.n
    )


def _canonical(j: Judgments) -> Judgments:
    """Every judgment written with the item that sorts first as a, so that no digit hangs on it."""
    swap = j.a > j.b
    if not swap.any():
        return j
    flipped = np.where(swap & (j.verdict < 2), 1 - j.verdict, j.verdict).astype(np.uint8)
    place = None if j.placement is None else np.where(swap, -j.placement, j.placement)
    return replace(
        j,
        a=np.where(swap, j.b, j.a),
        b=np.where(swap, j.a, j.b),
        verdict=flipped,
        placement=None if place is None else place.astype(np.int8),
    )


def _design(cells: Cells, x: Floats, names: tuple[str, ...]) -> Design:
    """One row a cell; a single item that meets itself stands for the ratings, which cancel."""
    nobody = np.zeros(len(cells.a), dtype=np.int64)
    columns = [x[cells.a] - x[cells.b]]
    if cells.placement.any():
        columns.insert(0, cells.placement[:, None])
        names = ("placement", *names)
    counts = (cells.wins_a, cells.wins_b, cells.ties)
    return Design(1, nobody, nobody, *counts, np.hstack(columns), names)


def _solve(design: Design, model: TieModel) -> Optimum:
    try:
        optimum = maximise(design, model, _NONE)
        eta, _ = log_odds(design, model, optimum.parameters)
        if max(np.abs(eta).max(), np.abs(optimum.parameters).max()) > _SUSPICIOUS:
            _refuse_separated(design, model)
    except ConvergenceError:
        _refuse_separated(design, model)
        raise
    return optimum


def _refuse_separated(design: Design, model: TieModel) -> None:
    zero = np.zeros(len(design.a))
    counts = (design.wins_a, design.wins_b, design.ties)
    rows = Cells(("the items",), design.a, design.b, zero, *counts, zero)
    try:
        separating_direction(rows, design.extra, design.extra_names, tie_parameter=model != "half")
    except SeparationError as error:
        what = str(error).split(":")[0]
        raise SeparationError(
            f"{what}: collect more judgments, or leave out that property"
        ) from None


def _uncertainty(
    design: Design,
    model: TieModel,
    optimum: Optimum,
    j: Judgments,
    clusters: list[Ints],
    x: Floats,
    cells: Cells,
    ci: float,
    variance: Variance,
) -> Uncertainty:
    bread = wald_parts(optimum.information, 1)
    if clusters:
        of = {item: i for i, item in enumerate(cells.items)}
        index = np.array([of.get(label, -1) for label in j.labels], dtype=np.int64)
        nobody = np.zeros(j.n, dtype=np.int64)
        gaps = x[index[j.a]] - x[index[j.b]]
        flat = replace(j, labels=("",), a=nobody, b=nobody, covariates=gaps)
        for way, codes in enumerate(clusters):
            if len(np.unique(codes[j.verdict != BOTH_BAD])) < 2:
                raise InputError(
                    f"cluster {way} has a single label: at least two are needed for an interval"
                )
        none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
        one = Cells(("",), none, none, nothing, nothing, nothing, nothing, nothing)
        return clustered(bread, flat, clusters, model, optimum.parameters, one, design, ci)
    if variance == "model":
        return Uncertainty(bread, quantile(ci), np.inf, ())
    meat = plain_meat(design, model, optimum.parameters)
    return Uncertainty(bread @ meat @ bread, quantile(ci), np.inf, ())


def _result(
    design: Design,
    used: TieModel,
    model: TieModel,
    optimum: Optimum,
    sure: Uncertainty,
    lack: LackOfFit,
    cells: Cells,
    x: Floats,
    unit: Floats,
    names: tuple[str, ...],
    variance: Variance,
    ci: float,
    n: int,
) -> ItemCovariatesFit:
    shift = 0 if used == "half" else 1
    every = ("log_tie_parameter",) * shift + design.extra_names
    at = 1 + len(every) - len(names)
    beta = optimum.parameters[at:] / unit
    c = sure.covariance[at:, at:] / unit[:, None] / unit[None, :]
    effects = {
        name: _estimate(float(optimum.parameters[i]), float(sure.covariance[i, i]), sure.quantile)
        for i, name in enumerate(every[: len(every) - len(names)], start=1)
    }
    tie = effects.get("log_tie_parameter")
    none = {"davidson": 0.0, "rao_kupper": 1.0}.get(model)
    centred = x - x.mean(axis=0)
    covariance = centred @ c @ centred.T
    ratings = centred @ beta
    se = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    half = sure.quantile * se
    fit = ItemCovariatesFit(
        coefficients=MappingProxyType(
            {
                name: _estimate(float(beta[i]), float(c[i, i]), sure.quantile)
                for i, name in enumerate(names)
            }
        ),
        items=cells.items,
        ratings=ratings,
        se=se,
        ci_low=ratings - half,
        ci_high=ratings + half,
        covariance=covariance,
        coefficient_covariance=c,
        tie_parameter=none if tie is None else float(np.exp(tie.value)),
        placement_effect=effects["placement"].value if "placement" in effects else None,
        effects=MappingProxyType(effects),
        lack_of_fit=lack,
        log_likelihood=optimum.log_likelihood,
        iterations=optimum.iterations,
        tie_model=model,
        variance="cluster" if sure.clusters else variance,
        ci=ci,
        clusters=sure.clusters,
        degrees_of_freedom=sure.degrees_of_freedom,
        n_judgments=n,
    )
    for value in vars(fit).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return fit


def _estimate(value: float, variance: float, z: float) -> Estimate:
    se = float(np.sqrt(max(variance, 0.0)))
    return Estimate(value, se, value - z * se, value + z * se)
