"""What each way of treating ties says about one comparison: likelihood, score, information.

Knows: the probabilities of a win, a loss and a tie given the log-odds `eta` of the two sides and
the tie parameter. Does not know items, Newton or standard errors.

With eta = rating_a - rating_b + effects, sigma the logistic function:

* half: P(a) = sigma(eta); a tie is half a win and half a loss. No tie parameter.
* davidson (Davidson 1970, JASA 65:317-328, equation 2.1): P(a) : P(b) : P(tie) =
  exp(eta/2) : exp(-eta/2) : nu. Parameter tau = log nu.
* rao_kupper (Rao and Kupper 1967, JASA 62:194-204): P(a) = sigma(eta - tau),
  P(b) = sigma(-eta - tau), P(tie) the rest. Parameter tau = log(threshold) > 0.

All three log-likelihoods are concave in (eta, tau).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from preference.encoding import Floats

TieModel = Literal["half", "davidson", "rao_kupper"]


@dataclass(frozen=True, eq=False)
class Derivatives:
    """Per-cell value and derivatives of the log-likelihood in eta and tau.

    `ee`, `et`, `tt` are minus the second derivatives (observed information).
    """

    value: Floats
    e: Floats
    t: Floats
    ee: Floats
    et: Floats
    tt: Floats


def sigmoid(x: Floats) -> Floats:
    """Logistic function without overflow."""
    tail = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, tail) / (1 + tail)


def probabilities(model: TieModel, eta: Floats, tau: float) -> tuple[Floats, Floats, Floats]:
    """P(a), P(b), P(tie) at log-odds eta; `tau` is minus infinity (davidson) or 0 for no ties."""
    if model == "half":
        p = sigmoid(eta)
        return p, 1.0 - p, np.zeros_like(p)
    if model == "davidson":
        top = np.maximum(np.abs(eta) / 2, tau)
        a, b, t = np.exp(eta / 2 - top), np.exp(-eta / 2 - top), np.exp(tau - top)
        z = a + b + t
        return a / z, b / z, t / z
    a, b = sigmoid(eta - tau), sigmoid(-eta - tau)
    return a, b, a * b * np.expm1(2 * tau)


def derivatives(
    model: TieModel, eta: Floats, tau: float, wins_a: Floats, wins_b: Floats, ties: Floats
) -> Derivatives:
    """Log-likelihood and derivatives of cells with the given counts."""
    if model == "half":
        return _half(eta, wins_a, wins_b, ties)
    if model == "davidson":
        return _davidson(eta, tau, wins_a, wins_b, ties)
    return _rao_kupper(eta, tau, wins_a, wins_b, ties)


def _half(eta: Floats, wins_a: Floats, wins_b: Floats, ties: Floats) -> Derivatives:
    up, down = wins_a + ties / 2, wins_b + ties / 2
    x = np.exp(-np.abs(eta))
    one = 1 + x
    big = 1 / one
    small = x * big
    ahead = eta >= 0
    p, q = np.where(ahead, big, small), np.where(ahead, small, big)
    n = up + down
    value = np.maximum(-eta, 0.0) * up + np.maximum(eta, 0.0) * down + n * np.log(one)
    zero = np.zeros_like(eta)
    return Derivatives(-value, up * q - down * p, zero, n * (p * q), zero, zero)


def verdict_scores(model: TieModel, eta: Floats, tau: float) -> tuple[Floats, Floats]:
    """(3, rows) derivatives in eta and in tau of one judgment of each verdict: a, b, tie."""
    if model == "rao_kupper":
        one, zero = np.ones_like(eta), np.zeros_like(eta)
        each = [
            derivatives(model, eta, tau, *unit)
            for unit in ((one, zero, zero), (zero, one, zero), (zero, zero, one))
        ]
        return np.stack([d.e for d in each]), np.stack([d.t for d in each])
    pa, pb, pt = probabilities(model, eta, tau)
    e, t = np.empty((3, len(eta))), np.zeros((3, len(eta)))
    if model == "half":
        e[0], e[1] = sigmoid(-eta), -pa
        e[2] = (e[0] + e[1]) / 2
        return e, t
    edge = pa - pb
    e[0], e[1], e[2] = (1 - edge) / 2, (-1 - edge) / 2, -edge / 2
    t[0] = t[1] = -pt
    t[2] = 1 - pt
    return e, t


def _davidson(eta: Floats, tau: float, wins_a: Floats, wins_b: Floats, ties: Floats) -> Derivatives:
    n = wins_a + wins_b + ties
    top = np.maximum(np.abs(eta) / 2, tau)
    a, b, t = np.exp(eta / 2 - top), np.exp(-eta / 2 - top), np.exp(tau - top)
    z = a + b + t
    a, b, t = a / z, b / z, t / z
    value = (wins_a - wins_b) * eta / 2 + ties * tau - n * (top + np.log(z))
    edge = a - b
    return Derivatives(
        value,
        (wins_a - wins_b - n * edge) / 2,
        ties - n * t,
        n * (a + b - edge**2) / 4,
        -n * edge * t / 2,
        n * t * (1 - t),
    )


def _rao_kupper(
    eta: Floats, tau: float, wins_a: Floats, wins_b: Floats, ties: Floats
) -> Derivatives:
    up, down = wins_a + ties, wins_b + ties
    x, y = eta - tau, -eta - tau
    u, v = sigmoid(x), sigmoid(y)
    grow = -np.expm1(-2 * tau)  # 1 - exp(-2 tau)
    value = -up * np.logaddexp(0, -x) - down * np.logaddexp(0, -y)
    value += ties * (2 * tau + np.log(grow))
    su, sv = up * u * (1 - u), down * v * (1 - v)
    return Derivatives(
        value,
        up * (1 - u) - down * (1 - v),
        -up * (1 - u) - down * (1 - v) + ties * 2 / grow,
        su + sv,
        sv - su,
        su + sv + ties * 4 * np.exp(-2 * tau) / grow**2,
    )
