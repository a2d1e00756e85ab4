"""Bradley-Terry ratings with ties, placement, covariates and honest standard errors.

Knows: judgments in, one frozen result out. Does not know people, pages, files or tables.

Model: eta = rating_a - rating_b + gamma * placement + covariates . beta; `preference.outcomes`
turns eta into the probabilities of a win, a loss and a tie. Bradley and Terry (1952, Biometrika
39:324-345); order effect as in Davidson and Beaver (1977, Biometrics 33:693-702).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np

from preference.arguments import level, number
from preference.confounding import refuse_confounded
from preference.connectivity import (
    Connectivity,
    connectivity,
    refuse,
    refuse_all_ties,
    separating_direction,
)
from preference.counts import Cells, count, distinct, item_index
from preference.covariance import Uncertainty, Variance, clustered, plain_meat, quantile, widen
from preference.design import Design, log_odds
from preference.encoding import BOTH_BAD, Floats, Ints, Item, Judgments, encode, encode_clusters
from preference.errors import ConvergenceError, InputError, PreferenceError
from preference.newton import Optimum, Prior, maximise, wald_parts
from preference.outcomes import TieModel
from preference.results import BradleyTerryFit, Estimate
from preference.tallies import same_key

__all__ = ["BradleyTerryFit", "Estimate", "fit_bradley_terry", "fit_cells", "fit_judgments"]

Ties = Literal["half", "davidson", "rao_kupper", "auto"]
TIES: tuple[str, ...] = ("half", "davidson", "rao_kupper", "auto")
RIDGE_PRECISION = 0.25  # prior="ridge": ratings are normal with standard deviation 2
_SUSPICIOUS = 12.0  # log-odds beyond this are checked for separation


def fit_bradley_terry(
    item_a: Any,
    item_b: Any,
    verdict: Any,
    *,
    weight: Any = None,
    ties: str = "davidson",
    placement: Any = None,
    covariates: Any = None,
    cluster: Any = None,
    ci: float = 0.95,
    prior: float | str | None = None,
    variance: Variance = "sandwich",
) -> BradleyTerryFit:
    """Fit ratings to judgments.

    Args:
        item_a: n items: strings, integers or pandas categoricals.
        item_b: n items, the other side.
        verdict: n of `a`, `b`, `tie`, `both_bad`, or uint8 codes 0 to 3. both_bad prefers nothing:
            it is counted apart and left out of the fit.
        weight: n numbers >= 0; weight 2 is the same judgment made twice. (For weights that are not
            counts, give `cluster`, which makes the intervals independent of their scale.)
        ties: `half`, `davidson`, `rao_kupper`, or `auto` (the better of the last two by held-out
            likelihood).
        placement: n of +1 (a had first place), -1 (b had it), 0; fits one effect for all items.
        covariates: (n,), (n, m), mapping or frame; adds to a's side, so give differences a - b.
        cluster: one or two label arrays (annotator; annotator and prompt) for robust intervals.
        ci: confidence level.
        prior: None; `"firth"` (Jeffreys' prior, half and davidson only); `"ridge"` (normal with
            standard deviation 2); or a number, the ridge's precision (1/variance). With a prior no
            standard error is below that of the penalised information.
        variance: `sandwich` (right whether or not the model is) or `model` (inverse information);
            ignored when `cluster` is given.

    Returns:
        The fit.

    Raises:
        InputError: a value is wrong; names its index.
        UnidentifiedError: no finite answer exists (disconnected, undefeated, all ties).
        ConvergenceError: the optimum was not reached.
    """
    if ties not in TIES:
        raise InputError(f"ties {ties!r} is unknown: use half, davidson, rao_kupper or auto")
    ci = level(ci)
    if variance not in ("sandwich", "model"):
        raise InputError(f"variance {variance!r} is unknown: use sandwich or model")
    j = encode(item_a, item_b, verdict, weight=weight, placement=placement, covariates=covariates)
    clusters = [] if cluster is None else encode_clusters(cluster, j.n)
    return fit_judgments(
        j, clusters, ties=cast("Ties", ties), ci=ci, prior=as_prior(prior), variance=variance
    )


def as_prior(prior: float | str | None) -> Prior:
    """The prior that an argument means.

    Raises:
        InputError: an unknown name, or a precision that is not positive.
    """
    if prior is None:
        return Prior()
    if isinstance(prior, str):
        if prior == "firth":
            return Prior("firth")
        if prior == "ridge":
            return Prior("ridge", RIDGE_PRECISION)
        raise InputError(f"prior {prior!r} is unknown: use 'firth', 'ridge' or a precision > 0")
    try:
        number(prior, "prior", 0.0, open_=True)
    except InputError:
        words = f"prior {prior!r} must be a precision above zero, 'firth' or 'ridge'"
        raise InputError(words) from None
    return Prior("ridge", float(prior))


def fit_judgments(
    j: Judgments, clusters: list[Ints], *, ties: Ties, ci: float, prior: Prior, variance: Variance
) -> BradleyTerryFit:
    """`fit_bradley_terry` on encoded judgments."""
    cells = count(j)
    model, choice = choose_tie_model(cells, ties, prior)
    design = cell_design(cells) if j.covariates is None else judgment_design(j, cells)
    if j.covariates is not None and prior.kind != "ridge":
        refuse_confounded(design)
    shape, optimum = _solve(cells, design, model, prior)
    uncertainty = _uncertainty(design, model, optimum, prior, variance, ci, cells, j, clusters)
    return _result(
        cells, design, model, choice, shape, optimum, uncertainty, prior, variance, ci, j.n
    )


def fit_cells(
    cells: Cells,
    *,
    ties: Ties = "davidson",
    ci: float = 0.95,
    prior: Prior | None = None,
    variance: Variance = "sandwich",
) -> BradleyTerryFit:
    """Fit counts directly (from SQL, or shards added together)."""
    prior = prior or Prior()
    model, choice = choose_tie_model(cells, ties, prior)
    design = cell_design(cells)
    shape, optimum = _solve(cells, design, model, prior)
    uncertainty = _uncertainty(design, model, optimum, prior, variance, ci, cells, None, [])
    total = round(float((cells.wins_a + cells.wins_b + cells.ties + cells.both_bad).sum()))
    return _result(
        cells, design, model, choice, shape, optimum, uncertainty, prior, variance, ci, total
    )


# --- pieces ---------------------------------------------------------------------------------------


def cell_design(cells: Cells) -> Design:
    """One row a cell; a placement column where any cell has a placement."""
    placed = bool(cells.placement.any())
    return Design(
        cells.k,
        cells.a,
        cells.b,
        cells.wins_a,
        cells.wins_b,
        cells.ties,
        cells.placement[:, None] if placed else np.zeros((len(cells.a), 0)),
        ("placement",) if placed else (),
    )


def judgment_design(j: Judgments, cells: Cells) -> Design:
    """One row a judgment that prefers or ties (needed with covariates), sorted by pair."""
    index = item_index(j, cells)
    rows, starts = _by_pair(j, index, cells.k)
    w = np.ones(len(rows)) if j.weight is None else j.weight[rows]
    verdict = j.verdict[rows]
    columns = [] if j.covariates is None else list(j.covariates.T)
    names = j.covariate_names
    if j.placement is not None and j.placement[rows].any():
        columns.insert(0, j.placement)
        names = ("placement", *names)
    extra = np.empty((len(rows), len(columns)), order="F")
    for i, column in enumerate(columns):
        extra[:, i] = column[rows]
    return Design(
        cells.k,
        index[j.a[rows]],
        index[j.b[rows]],
        w * (verdict == 0),
        w * (verdict == 1),
        w * (verdict == 2),
        extra,
        names,
        starts,
    )


def _by_pair(j: Judgments, index: Ints, k: int) -> tuple[Ints, Ints]:
    """Rows that prefer or tie, those of one (a, b) together, and where each pair starts."""
    bits = int(j.n).bit_length()
    packed = (index[j.a] * k + index[j.b]) << bits
    packed |= np.arange(j.n)
    packed = packed[j.verdict != BOTH_BAD]
    packed.sort()
    starts = np.flatnonzero(np.append(True, ~same_key(packed, bits)[:-1]))
    return packed & ((1 << bits) - 1), starts[: len(packed)]


def choose_tie_model(
    cells: Cells, ties: Ties, prior: Prior
) -> tuple[TieModel, Mapping[str, float]]:
    """The tie model to use; for `auto`, with each model's mean held-out log-likelihood."""
    no_ties = not (cells.ties > 0).any()
    if ties == "auto":
        if no_ties:
            return "half", {}
        from preference.tie_choice import held_out

        scores = held_out(cells)
        best = max(("davidson", "rao_kupper"), key=lambda m: scores[m])
        if prior.kind == "firth":
            best = "davidson"
        return cast("TieModel", best), scores
    if prior.kind == "firth" and ties == "rao_kupper":
        raise InputError("prior 'firth' is available for ties half and davidson: use a ridge")
    return ties, {}


def _effective(cells: Cells, model: TieModel) -> TieModel:
    """Without any tie the tie parameter sits at its boundary and every model is plain."""
    return model if (cells.ties > 0).any() else "half"


def _solve(
    cells: Cells, design: Design, model: TieModel, prior: Prior
) -> tuple[Connectivity, Optimum]:
    if cells.k < 2:
        raise InputError(f"one item only ({cells.items[0]!r}): at least two are needed")
    shape = connectivity(cells)
    if prior.kind == "none":
        if float(cells.wins_a.sum() + cells.wins_b.sum() + cells.ties.sum()) == 0:
            refuse_all_ties(cells)
        refuse(shape)
    if prior.kind == "firth" and len(shape.islands) > 1:
        refuse(shape)
    used = _effective(cells, model)
    if used != "half" or float((cells.wins_a + cells.wins_b + cells.ties).sum()) == 0:
        refuse_all_ties(cells)
    try:
        optimum = maximise(design, used, prior, _start(cells, design, used, prior))
    except ConvergenceError:
        if prior.kind == "none":
            _explain(cells, design, used)
        raise
    if prior.kind == "none" and _extreme(design, used, optimum):
        _explain(cells, design, used)
    return shape, optimum


def _start(cells: Cells, design: Design, model: TieModel, prior: Prior) -> Floats | None:
    """The ratings of the counts alone, from which a fit of many rows has less far to go."""
    if design.starts is None or len(design.a) < 2 * len(cells.a):
        return None
    rows = cell_design(cells)
    try:
        near = maximise(rows, model, prior).parameters
    except PreferenceError:
        return None
    shift = 0 if model == "half" else 1
    effects = np.zeros(design.m)
    if rows.m and "placement" in design.extra_names:
        effects[0] = near[-1]
    return np.concatenate([near[: cells.k + shift], effects])


def _extreme(design: Design, model: TieModel, optimum: Optimum) -> bool:
    eta, tau = log_odds(design, model, optimum.parameters)
    effects = optimum.parameters[design.k :]
    ratings = optimum.parameters[: design.k]
    return bool(
        max(
            float(np.abs(eta).max()),
            float(np.ptp(ratings)),
            float(np.abs(effects).max(initial=0.0)),
            abs(tau),
        )
        > _SUSPICIOUS
    )


def _explain(cells: Cells, design: Design, model: TieModel) -> None:
    """Raise SeparationError when the likelihood has no finite maximum.

    `design.a` may have one row a judgment; the linear programme then runs on those rows.
    """
    rows = Cells(
        cells.items,
        design.a,
        design.b,
        np.zeros(len(design.a)),
        design.wins_a,
        design.wins_b,
        design.ties,
        np.zeros(len(design.a)),
    )
    separating_direction(rows, design.extra, design.extra_names, tie_parameter=model != "half")


def _uncertainty(
    design: Design,
    model: TieModel,
    optimum: Optimum,
    prior: Prior,
    variance: Variance,
    ci: float,
    cells: Cells,
    j: Judgments | None,
    clusters: list[Ints],
) -> Uncertainty:
    used: TieModel = "half" if not (design.ties > 0).any() else model
    bread = wald_parts(optimum.information, design.k)
    if not (design.wins_a.any() or design.wins_b.any()):
        variance, clusters = "model", []  # only ties: scores are zero, which is not certainty
    if clusters and j is not None:
        informative = j.verdict != BOTH_BAD
        for way, codes in enumerate(clusters):
            if distinct(codes, informative) < 2:
                raise InputError(
                    f"cluster {way} has a single label: at least two are needed for an interval"
                )
        out = clustered(bread, j, clusters, used, optimum.parameters, cells, design, ci)
    elif variance == "model":
        out = Uncertainty(bread, quantile(ci), np.inf, ())
    else:
        meat = plain_meat(design, used, optimum.parameters)
        out = Uncertainty(bread @ meat @ bread, quantile(ci), np.inf, ())
    if prior.kind == "none":
        return out
    return Uncertainty(
        widen(out.covariance, bread), out.quantile, out.degrees_of_freedom, out.clusters
    )


def _result(
    cells: Cells,
    design: Design,
    model: TieModel,
    choice: Mapping[str, float],
    shape: Connectivity,
    optimum: Optimum,
    uncertainty: Uncertainty,
    prior: Prior,
    variance: Variance,
    ci: float,
    n_judgments: int,
) -> BradleyTerryFit:
    k = cells.k
    ratings = optimum.parameters[:k] - optimum.parameters[:k].mean()
    covariance = uncertainty.covariance[:k, :k]
    se = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    half = uncertainty.quantile * se
    tied = bool((cells.ties > 0).any())
    effects = _effects(design, model if tied else "half", optimum, uncertainty)
    tie_parameter: float | None = None
    if model == "davidson":
        tie_parameter = float(np.exp(optimum.parameters[k])) if tied else 0.0
    elif model == "rao_kupper":
        tie_parameter = float(np.exp(optimum.parameters[k])) if tied else 1.0
    placement = effects.get("placement")
    wins, tie = cells.wins(), cells.tied()
    fit = BradleyTerryFit(
        items=cells.items,
        ratings=ratings,
        se=se,
        ci_low=ratings - half,
        ci_high=ratings + half,
        tie_parameter=tie_parameter,
        placement_effect=None if placement is None else placement.value,
        covariance=np.ascontiguousarray(covariance),
        log_likelihood=optimum.log_likelihood,
        iterations=optimum.iterations,
        components=shape.components,
        effects=MappingProxyType(effects),
        flags=MappingProxyType(_flags(shape)),
        wins=wins.sum(axis=1),
        losses=wins.sum(axis=0),
        ties=tie.sum(axis=1),
        both_bad=cells.bad().sum(axis=1),
        n_judgments=n_judgments,
        weight_total=float((cells.wins_a + cells.wins_b + cells.ties).sum()),
        tie_model=model,
        tie_choice=MappingProxyType(dict(choice)),
        prior=str(prior),
        variance="cluster" if uncertainty.clusters else variance,
        ci=ci,
        clusters=uncertainty.clusters,
        degrees_of_freedom=uncertainty.degrees_of_freedom,
        parameter_covariance=uncertainty.covariance,
        cells=cells,
    )
    for value in vars(fit).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return fit


def _effects(
    design: Design, model: TieModel, optimum: Optimum, uncertainty: Uncertainty
) -> dict[str, Estimate]:
    names = (() if model == "half" else ("log_tie_parameter",)) + design.extra_names
    effects: dict[str, Estimate] = {}
    for i, name in enumerate(names, start=design.k):
        value = float(optimum.parameters[i])
        se = float(np.sqrt(max(uncertainty.covariance[i, i], 0.0)))
        half = uncertainty.quantile * se
        effects[name] = Estimate(value, se, value - half, value + half)
    return effects


def _flags(shape: Connectivity) -> dict[Item, tuple[str, ...]]:
    flags: dict[Item, list[str]] = {}
    for item in shape.undefeated:
        flags.setdefault(item, []).append("undefeated")
    for item in shape.winless:
        flags.setdefault(item, []).append("winless")
    for group in shape.components[1:]:
        for item in group:
            if item not in flags:
                flags[item] = ["apart"]
    return {item: tuple(names) for item, names in flags.items()}
