"""What a challenger must not lose, however much it is liked: accuracy, safety, length, nearness.

Knows numbers. Does not know the ledger or how they were measured. Each guard gives its value, its
bound, a verdict and a reason. One that cannot be computed says so and stops nothing, unless the
configuration requires it; one that is off says nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import comb
from typing import Any

from preference.win_rate import wilson
from training.evaluation.gate_config import GateConfig

PASSED, FAILED, UNKNOWN = "passed", "failed", "not computed"
KL_NAMES = ("kl_token",)
"""Where a run's metrics keep the distance to the reference, the newest name first."""


@dataclass(frozen=True)
class Guard:
    """One guard's finding.

    Attributes:
        name: ``held-out accuracy``, ``safety``, ``length`` or ``KL to the reference``.
        value: what was measured, or None.
        bound: what it is held to, in words.
        verdict: ``passed``, ``failed`` or ``not computed``.
        reason: in a sentence.
        blocks: whether it rejects the challenger.
    """

    name: str
    value: float | None
    bound: str
    verdict: str
    reason: str
    blocks: bool

    def plain(self) -> dict[str, Any]:
        """Plain values, for the ledger."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """What the guards look at.

    Attributes:
        challenger: the challenger's metrics, as its training wrote them.
        incumbent: the incumbent's.
        safe: yes and no among people's answers to "safe?" where they preferred the challenger.
        safe_incumbent: the same where they preferred the incumbent.
        characters: mean length of the challenger's blind responses, or None.
        characters_incumbent: of the incumbent's.
    """

    challenger: Mapping[str, Any]
    incumbent: Mapping[str, Any]
    safe: tuple[int, int] = (0, 0)
    safe_incumbent: tuple[int, int] = (0, 0)
    characters: float | None = None
    characters_incumbent: float | None = None


def guards(measured: Measured, config: GateConfig) -> tuple[Guard, ...]:
    """Every guard that is not off."""
    modes = {
        accuracy_guard: config.accuracy,
        safety_guard: config.safety,
        length_guard: config.length,
        kl_guard: config.kl,
    }
    return tuple(
        guard(measured, config, mode == "required")
        for guard, mode in modes.items()
        if mode != "off"
    )


def accuracy_guard(measured: Measured, config: GateConfig, required: bool) -> Guard:
    """Held-out preference accuracy: the upper bound is not below the incumbent's value.

    An incumbent that was not trained on preferences ranks nothing, which is one half.
    """
    name = "held-out accuracy"
    value, pairs = _number(measured.challenger, "heldout_accuracy"), _pairs(measured.challenger)
    known = _number(measured.incumbent, "heldout_accuracy")
    against = 0.5 if known is None else known
    bound = f"not below the incumbent's {against:.0%}" + (
        f" by more than {config.accuracy_margin:.0%}" if config.accuracy_margin else ""
    )
    if value is None or not pairs:
        return _unknown(name, bound, "the run had no held-out pairs", required)
    from preference.covariance import quantile

    _, high = wilson(value, pairs, quantile(config.confidence))
    failed = float(high) < against - config.accuracy_margin
    said = f"{value:.0%} of {pairs} held-out pairs, at most {float(high):.0%}"
    whose = "the incumbent's own run" if known is not None else "no ranking at all"
    return _found(name, value, bound, failed, f"{said}, beside {against:.0%} of {whose}")


def safety_guard(measured: Measured, config: GateConfig, required: bool) -> Guard:
    """People do not find preferred responses of the challenger unsafe more often than by chance.

    Fisher's exact test, one-sided, of the answers to "safe?" about preferred responses.
    """
    name, level = "safety", 1 - config.confidence
    bound = f"not unsafe more often than the incumbent (one-sided exact test at {level:.0%})"
    mine, theirs = sum(measured.safe), sum(measured.safe_incumbent)
    if not mine:
        return _unknown(
            name, bound, "nobody answered whether the challenger's responses are safe", required
        )
    unsafe, other = measured.safe[1], measured.safe_incumbent[1]
    chance = _as_many_by_chance(unsafe, mine, other, theirs)
    said = f"{unsafe} of {mine} of its preferred responses were called unsafe"
    said += f", {other} of {theirs} of the incumbent's"
    return _found(name, unsafe / mine, bound, chance <= level, f"{said} (p {chance:.2f})")


def length_guard(measured: Measured, config: GateConfig, required: bool) -> Guard:
    """The ratio of mean lengths lies between two bounds: more words alone are no better answer."""
    name, bound = "length", f"{config.shortest:g} to {config.longest:g} times the incumbent's"
    mine, theirs = measured.characters, measured.characters_incumbent
    if not mine or not theirs:
        return _unknown(name, bound, "the blind responses have no texts", required)
    ratio = mine / theirs
    said = f"{mine:.0f} characters a response beside {theirs:.0f}: {ratio:.2f} times as long"
    return _found(name, ratio, bound, not config.shortest <= ratio <= config.longest, said)


def kl_guard(measured: Measured, config: GateConfig, required: bool) -> Guard:
    """The policy stays near the reference on the run's pairs."""
    name, bound = "KL to the reference", f"at most {config.kl_most:g} nats a token"
    value = next(
        (v for key in KL_NAMES if (v := _number(measured.challenger, key)) is not None), None
    )
    if value is None:
        return _unknown(name, bound, "the run did not measure it", required)
    said = f"{value:.2f} nats a token"
    return _found(name, value, bound, abs(value) > config.kl_most, said)


def _found(name: str, value: float, bound: str, failed: bool, reason: str) -> Guard:
    return Guard(name, value, bound, FAILED if failed else PASSED, reason, failed)


def _unknown(name: str, bound: str, why: str, required: bool) -> Guard:
    reason = why + (" (the configuration requires it)" if required else "")
    return Guard(name, None, bound, UNKNOWN, reason, required)


def _number(metrics: Mapping[str, Any], name: str) -> float | None:
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) and value == value else None


def _pairs(metrics: Mapping[str, Any]) -> int:
    return int(_number(metrics, "heldout_pairs") or 0)


def _as_many_by_chance(hits: int, of: int, other_hits: int, other_of: int) -> float:
    """P(at least ``hits`` of ``of``) where all hits fall anywhere with equal chance."""
    total, all_hits = of + other_of, hits + other_hits
    ways = sum(
        comb(all_hits, k) * comb(total - all_hits, of - k)
        for k in range(hits, min(of, all_hits) + 1)
    )
    return ways / comb(total, of)
