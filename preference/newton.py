"""Newton's method with a line search for paired-comparison likelihoods.

Knows: a design, a way of treating ties, and a prior. Does not know strings, intervals or where the
counts come from.

The likelihood does not change when all ratings move together, so the information matrix gets v v'
added, v = 1/sqrt(k) on the ratings: this pins their mean at zero and leaves everything else as it
is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from preference.design import (
    Design,
    Products,
    assemble,
    blocks,
    gauge,
    gradient,
    log_odds,
    matrix,
    products,
)
from preference.encoding import Floats
from preference.errors import ConfoundedError, ConvergenceError
from preference.in_parallel import in_parallel
from preference.outcomes import Derivatives, TieModel, derivatives, probabilities
from preference.untyped import linalg

MOST_ITERATIONS = 500
_STEP = 1e-10


@dataclass(frozen=True, eq=False)
class Prior:
    """What is assumed beyond the judgments.

    `none`; `ridge`: minus precision/2 times the sum of squared ratings and effects (independent
    normals of variance 1/precision around zero); `firth`: half the log-determinant of the
    information, which is Jeffreys' prior (Firth 1993, Biometrika 80:27-38).
    """

    kind: Literal["none", "ridge", "firth"] = "none"
    precision: float = 0.0

    def __str__(self) -> str:
        if self.kind == "ridge":
            return f"ridge with precision {self.precision:g}"
        return self.kind


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where the ascent ended."""

    parameters: Floats
    information: Floats  # (p, p), with the prior's precision, without the gauge
    log_likelihood: float  # of the judgments alone
    iterations: int


def maximise(design: Design, model: TieModel, prior: Prior, start: Floats | None = None) -> Optimum:
    """Newton from equal ratings, or from `start`.

    Raises:
        ConvergenceError: no optimum within 500 iterations.
        ConfoundedError: the columns cannot be told apart (a placement that goes with an item).
    """
    x = _start(design, model) if start is None else start
    k, p = design.k, len(x)
    penalty = _penalty(design, model, prior)
    pin = gauge(k, p)
    here = _evaluate(design, model, prior, penalty, x)
    step, moved = np.zeros(p), np.inf
    many = design.starts is not None  # one more look at every row costs more than it can change
    for iteration in range(1, MOST_ITERATIONS + 1):
        step = _newton_step(here.curvature + pin, here.slope, design, first=iteration == 1)
        step[:k] -= step[:k].mean()
        x, here, size = _search(design, model, prior, penalty, x, step, here)
        moved, before = size * float(np.abs(step).max(initial=0.0)), moved
        if moved < _STEP or (many and _next_step(moved, before) < _STEP / 1e3):
            return Optimum(x, here.information, here.log_likelihood, iteration)
    raise ConvergenceError(
        f"no convergence after {MOST_ITERATIONS} iterations (last step "
        f"{float(np.abs(step).max()):.3g}): the data hardly determine the fit; collect more "
        "judgments or give a prior"
    )


def _next_step(moved: float, before: float) -> float:
    """How far the next step will go, each being a constant times the square of the last."""
    known = np.isfinite(before) and moved < before / 10
    return (moved / before) ** 2 * moved if known else np.inf


@dataclass(frozen=True, eq=False)
class _Point:
    """The penalised log-likelihood at one place.

    `curvature` is what steps are taken with: the information, under Firth's prior with each row
    counted as often as the prior's pseudo-judgments make it.
    """

    value: float
    slope: Floats
    information: Floats
    curvature: Floats
    log_likelihood: float


def _start(design: Design, model: TieModel) -> Floats:
    tied = float(design.ties.sum())
    total = tied + float(design.wins_a.sum() + design.wins_b.sum())
    share = min(max(tied / total, 1e-6), 1 - 1e-6)
    tau: list[float] = []
    if model == "davidson":
        tau = [float(np.log(2 * share / (1 - share)))]
    elif model == "rao_kupper":
        tau = [float(np.log((1 + share) / (1 - share)))]
    return np.concatenate([np.zeros(design.k), tau, np.zeros(design.m)])


def _penalty(design: Design, model: TieModel, prior: Prior) -> Floats:
    """(p,) precision of each parameter under a ridge; tau is never shrunk."""
    tau = [] if model == "half" else [0.0]
    one = prior.precision if prior.kind == "ridge" else 0.0
    return np.concatenate([np.full(design.k, one), tau, np.full(design.m, one)])


def _evaluate(design: Design, model: TieModel, prior: Prior, penalty: Floats, x: Floats) -> _Point:
    if prior.kind == "firth":
        return _evaluate_firth(design, model, x)

    def part(block: Design) -> tuple[float, Floats, Products]:
        eta, tau = log_odds(block, model, x)
        d = derivatives(model, eta, tau, block.wins_a, block.wins_b, block.ties)
        slope = gradient(block, model, d.e, d.t)
        return float(d.value.sum()), slope, products(block, model, d.ee, d.et, d.tt)

    values, slopes, parts = zip(*in_parallel(part, blocks(design)), strict=True)
    likelihood = float(sum(values))
    slope = sum(slopes, -penalty * x)
    information = matrix(design, model, list(parts))
    information[np.diag_indices_from(information)] += penalty
    value = likelihood - float(penalty @ x**2) / 2
    return _Point(value, slope, information, information, likelihood)


def _evaluate_firth(design: Design, model: TieModel, x: Floats) -> _Point:
    eta, tau = log_odds(design, model, x)
    d = derivatives(model, eta, tau, design.wins_a, design.wins_b, design.ties)
    value = float(d.value.sum())
    slope = gradient(design, model, d.e, d.t)
    information = assemble(design, model, d.ee, d.et, d.tt)
    bonus, push, share = _firth(design, model, eta, tau, information, d)
    grown = assemble(design, model, d.ee * share, d.et * share, d.tt * share)
    return _Point(value + bonus, slope + push, information, grown, value)


def _firth(
    design: Design, model: TieModel, eta: Floats, tau: float, information: Floats, d: Derivatives
) -> tuple[float, Floats, Floats]:
    """Half the log-determinant of the information and its gradient (canonical models only).

    The third value is, a row, 1 + leverage / count: how much the prior's pseudo-judgments add.
    """
    k, shift = design.k, 0 if model == "half" else 1
    p = len(information)
    full = information + gauge(k, p)
    sign, logdet = cast("tuple[float, float]", np.linalg.slogdet(full))
    if sign <= 0:
        return -np.inf, np.zeros(p), np.ones(len(eta))
    c = np.linalg.inv(full)
    a, b, x = design.a, design.b, design.extra
    cx = c[k + shift :]
    g_ee = c[a, a] + c[b, b] - 2 * c[a, b]
    if design.m:
        g_ee = g_ee + 2 * np.einsum("ij,ji->i", x, cx[:, a] - cx[:, b])
        g_ee = g_ee + np.einsum("ij,jk,ik->i", x, cx[:, k + shift :], x)
    n = design.wins_a + design.wins_b + design.ties
    pa, pb, pt = probabilities(model, eta, tau)
    if not shift:
        e = n / 2 * pa * pb * (pb - pa) * g_ee
        return logdet / 2, gradient(design, model, e, np.zeros_like(e)), _grown(d.ee * g_ee, n)
    g_et = c[k, a] - c[k, b]
    if design.m:
        g_et = g_et + x @ cx[:, k]
    g_tt = c[k, k]
    m1, m2 = (pa - pb) / 2, pt
    third = np.zeros((4, len(n)))  # 111, 112, 122, 222
    for prob, t1, t2 in ((pa, 0.5, 0.0), (pb, -0.5, 0.0), (pt, 0.0, 1.0)):
        u, v = t1 - m1, t2 - m2
        third += prob * np.stack([u * u * u, u * u * v, u * v * v, v * v * v])
    e = n / 2 * (third[0] * g_ee + 2 * third[1] * g_et + third[2] * g_tt)
    t = n / 2 * (third[1] * g_ee + 2 * third[2] * g_et + third[3] * g_tt)
    leverage = d.ee * g_ee + 2 * d.et * g_et + d.tt * g_tt
    return logdet / 2, gradient(design, model, e, t), _grown(leverage, n)


def _grown(leverage: Floats, n: Floats) -> Floats:
    return 1 + np.divide(leverage, n, out=np.zeros_like(n), where=n > 0)


def _newton_step(information: Floats, slope: Floats, design: Design, *, first: bool) -> Floats:
    try:
        factor = cast("tuple[Floats, bool]", linalg.cho_factor(information, lower=True))
        pivots = np.diag(factor[0]) ** 2
        if pivots.min() <= 1e-13 * pivots.max():
            raise np.linalg.LinAlgError
        return cast("Floats", linalg.cho_solve(factor, slope))
    except np.linalg.LinAlgError:
        if first and design.m:
            raise ConfoundedError(
                f"the effect of {', '.join(design.extra_names)} cannot be told apart from the "
                "items' ratings in these data: leave it out, or give a ridge prior"
            ) from None
        raise ConvergenceError(
            "the information matrix became singular: the data do not determine the fit; "
            "collect more judgments or give a prior"
        ) from None


def _search(
    design: Design,
    model: TieModel,
    prior: Prior,
    penalty: Floats,
    x: Floats,
    step: Floats,
    here: _Point,
) -> tuple[Floats, _Point, float]:
    """Halve the step until the penalised likelihood rises as it should."""
    rise = float(here.slope @ step)
    noise = 1e-13 * (1.0 + abs(here.value))
    size = 1.0
    if model == "rao_kupper" and step[design.k] < 0:  # tau stays positive
        size = min(1.0, -0.9 * float(x[design.k] / step[design.k]))
    for _ in range(60):
        trial = x + size * step
        there = _evaluate(design, model, prior, penalty, trial)
        if np.isfinite(there.value) and there.value >= here.value + 1e-4 * size * rise - noise:
            return trial, there, size
        size /= 2
    raise ConvergenceError(
        "the line search found no improvement: the data do not determine the fit"
    )


def wald_parts(information: Floats, k: int) -> Floats:
    """Inverse information in the space of centred ratings, shape (p, p)."""
    pin = gauge(k, len(information))
    inverse = cast("NDArray[np.float64]", np.linalg.inv(information + pin))
    center = np.eye(len(information)) - pin
    out = center @ inverse @ center
    return (out + out.T) / 2
