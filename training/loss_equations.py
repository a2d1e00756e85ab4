"""The equations of the preference losses, each in the direction "first beats second".

Knows torch and the papers. Does not know names of arguments, soft labels or weights
(training/losses.py).

Notation, for one pair: π_c, π_r are the policy's summed log-probabilities (nats) of the chosen and
the rejected completion, ρ_c, ρ_r the reference's, |c|, |r| the completions' lengths in tokens, and

    Δ = (π_c − ρ_c) − (π_r − ρ_r)        the implicit reward margin, without β
    h = β·Δ
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

_CERTAIN = -1e-7
"""Average log-probability at which ORPO's odds are cut off: p = 1 has infinite odds."""


@dataclass(frozen=True)
class Pairs:
    """Inputs of one loss in the direction "first beats second"; tensors of shape (pairs,)."""

    first: Tensor
    second: Tensor
    ref_first: Tensor | None
    ref_second: Tensor | None
    length_first: Tensor | None
    length_second: Tensor | None
    beta: float
    option: float
    """The loss's own number, 0 where it has none."""

    def swapped(self) -> "Pairs":
        """The other direction."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            ref_first=self.ref_second,
            ref_second=self.ref_first,
            length_first=self.length_second,
            length_second=self.length_first,
        )

    def gains(self) -> tuple[Tensor, Tensor]:
        """π − ρ of both completions."""
        assert self.ref_first is not None and self.ref_second is not None
        return self.first - self.ref_first, self.second - self.ref_second

    def margin(self) -> Tensor:
        """Δ."""
        one, other = self.gains()
        return one - other

    def average_margin(self) -> Tensor:
        """Δ of averages a token where lengths are given, else Δ."""
        if self.length_first is None or self.length_second is None:
            return self.margin()
        one, other = self.gains()
        return one / self.length_first - other / self.length_second

    def averages(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities a token."""
        assert self.length_first is not None and self.length_second is not None
        return self.first / self.length_first, self.second / self.length_second


def _sigmoid(pairs: Pairs) -> Tensor:
    """DPO: −log σ(h). Rafailov et al. 2023 (arXiv:2305.18290), equation 7."""
    return -logsigmoid(pairs.beta * pairs.margin())


def _ipo(pairs: Pairs) -> Tensor:
    """IPO: (Δ − 1/(2β))². Azar et al. 2023 (arXiv:2310.12036), equation 17 (τ there is β here).

    With ``length_chosen`` and ``length_rejected`` every log-probability in Δ is the average over
    its completion, as TRL does always after asking the authors, whose results are of this form;
    without them it is the sum, as the paper writes it. Training runs average (``length_average``).
    """
    return (pairs.average_margin() - 1.0 / (2.0 * pairs.beta)) ** 2


def _hinge(pairs: Pairs) -> Tensor:
    """Hinge: max(0, 1 − h). SLiC, Zhao et al. 2023 (arXiv:2305.10425), on DPO's margin."""
    return torch.relu(1.0 - pairs.beta * pairs.margin())


def _robust(pairs: Pairs) -> Tensor:
    """Robust DPO: [(1 − ε)·(−log σ(h)) − ε·(−log σ(−h))] / (1 − 2ε).

    Chowdhury et al. 2024 (arXiv:2403.00409): the unbiased estimate of DPO's loss when
    each label was flipped with probability ε = ``label_smoothing``. It can be negative.
    """
    epsilon, h = pairs.option, pairs.beta * pairs.margin()
    kept, flipped = -logsigmoid(h), -logsigmoid(-h)
    return ((1.0 - epsilon) * kept - epsilon * flipped) / (1.0 - 2.0 * epsilon)


def _simpo(pairs: Pairs) -> Tensor:
    """SimPO: −log σ(β·π_c/|c| − β·π_r/|r| − γ). Meng et al. 2024 (arXiv:2405.14734), equation 6.

    No reference. γ = ``gamma`` is the target margin itself, not its ratio to β.
    """
    one, other = pairs.averages()
    return -logsigmoid(pairs.beta * (one - other) - pairs.option)


def _odds_ratio(pairs: Pairs) -> Tensor:
    """ORPO's second term: −β·log σ(log odds_c − log odds_r), odds = p/(1 − p), p = exp(π/|·|).

    Hong et al. 2024 (arXiv:2403.07691), equations 6 and 7; λ there is β here. No reference.
    Average log-probabilities above −1e-7 count as −1e-7, where the odds are still finite.
    """
    one, other = (average.clamp(max=_CERTAIN) for average in pairs.averages())
    log_odds = (one - _log1mexp(one)) - (other - _log1mexp(other))
    return -pairs.beta * logsigmoid(log_odds)


def _likelihood(pairs: Pairs) -> Tensor:
    """ORPO's first term: −π_c/|c|, the negative log-likelihood a token of what is better."""
    return -pairs.averages()[0]


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 − eˣ) for x < 0 without cancellation."""
    return torch.where(x > -0.6931472, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


def _rao_kupper_win(pairs: Pairs) -> Tensor:
    """A decided pair under ties: −log σ(h − α).

    Chen et al. 2024, "On Extending Direct Preference Optimization to Accommodate Ties"
    (arXiv:2409.17431), DPO-RK; α = log ν with Rao and Kupper's (1967) tie parameter ν > 1.
    """
    return -logsigmoid(pairs.beta * pairs.margin() - pairs.option)


def _rao_kupper_tie(pairs: Pairs) -> Tensor:
    """A tie: −log σ(h − α) − log σ(−h − α) − log(e^{2α} − 1). Source as ``rao_kupper_win``.

    Together with the two wins the probabilities sum to one. Symmetric, so the label has no effect.
    """
    h, alpha = pairs.beta * pairs.margin(), pairs.option
    constant = 2.0 * alpha + math.log(-math.expm1(-2.0 * alpha))
    return -logsigmoid(h - alpha) - logsigmoid(-h - alpha) - constant


@dataclass(frozen=True)
class Loss:
    """What a loss is and what it needs.

    Attributes:
        equation: mixed over both directions by the soft label.
        likelihood: added for the completion that the label calls better, never for the other.
        reference: whether it reads the reference.
        lengths: ``no`` (not read), ``may`` or ``must``.
        option: name of its own number.
        default: of that number.
        low: smallest value of it.
        high: largest.
        range: both bounds in words.
    """

    equation: Callable[[Pairs], Tensor]
    likelihood: Callable[[Pairs], Tensor] | None = None
    reference: bool = True
    lengths: str = "no"
    option: str | None = None
    default: float = 0.0
    low: float = 0.0
    high: float = float("inf")
    range: str = ""


ALPHA = math.log(3.0)
"""The paper's ν = 3, with which equal completions tie half of the time."""
_TIES = {"option": "alpha", "default": ALPHA, "low": 1e-12, "range": "above 0 (the paper: log 3)"}

LOSSES: dict[str, Loss] = {
    "sigmoid": Loss(_sigmoid),
    "ipo": Loss(_ipo, lengths="may"),
    "hinge": Loss(_hinge),
    "robust": Loss(
        _robust, option="label_smoothing", high=math.nextafter(0.5, 0.0), range="0 to below 0.5"
    ),
    "simpo": Loss(
        _simpo, reference=False, lengths="must", option="gamma", default=0.5, range="0 or more"
    ),
    "orpo": Loss(_odds_ratio, likelihood=_likelihood, reference=False, lengths="must"),
    "rao_kupper_win": Loss(_rao_kupper_win, **_TIES),
    "rao_kupper_tie": Loss(_rao_kupper_tie, **_TIES),
}
