"""How an adapter differs from one that was trained without somebody: pairs, preferences, weights.

Knows pairs, log-probabilities and LoRA factors. Does not know the ledger or why somebody was left
out. Implicit preference is the sign of (π_1 − ρ_1) − (π_2 − ρ_2) for two responses, with π the
adapter's and ρ the common reference's log-probability. The change of weights is what an adapter
added to its reference: with Δ = Σ s·B·A over modules, d = Δ − Δ_reference, compared by

    cosine = ⟨d, d'⟩ / (|d|·|d'|),    relative difference = |d − d'| / |d|

in the Frobenius product, computed from the factors: ⟨sBA, tDC⟩ = s·t·Σ (BᵀD)∘(ACᵀ).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from preference.covariance import quantile
from preference.win_rate import wilson
from training.adapters import read_card
from training.datums import EncodedPair, Encoder, completion_logprobs
from training.evaluation.pair_accuracy import NOTHING, implicit_accuracy
from training.pairs import PairSet, PreferencePair
from training.peft_files import LoraFactors, read_lora
from training.personas import Persona
from training.service import Service


@dataclass(frozen=True)
class Share:
    """A share of pairs with Wilson's 95 % interval; all None where there are no pairs."""

    value: float | None
    ci_low: float | None
    ci_high: float | None
    pairs: int

    def in_words(self) -> str:
        """In per cent."""
        if self.value is None or self.ci_low is None or self.ci_high is None:
            return "not known (no held-out pair)"
        return f"{self.value:.0%} ({self.ci_low:.0%} to {self.ci_high:.0%})"


@dataclass(frozen=True)
class PairsChanged:
    """What becomes of the pairs, training and held-out ones, without somebody's judgments.

    Attributes:
        before: pairs with everybody.
        after: pairs without them.
        lost: pairs that are none any more.
        gained: pairs that were none before: evenly judged, or of no weight.
        flipped: pairs whose other response is preferred now.
        moved: mean distance of the labels of pairs that stayed, 0 to 1.
    """

    before: int
    after: int
    lost: int
    gained: int
    flipped: int
    moved: float

    def in_words(self) -> str:
        """One line."""
        return (
            f"{self.lost} of {self.before} pairs lost, {self.flipped} turned round, "
            f"{self.gained} gained; labels of the others moved by {self.moved:.3f} on average"
        )


@dataclass(frozen=True)
class Difference:
    """An adapter beside the one that was trained without somebody.

    Attributes:
        pairs: what became of the pairs.
        factual: held-out accuracy of the adapter as it is, on everybody's held-out pairs.
        other: that of the other.
        factual_by_rest: accuracy of the adapter as it is on the others' held-out pairs alone.
        other_by_rest: that of the other.
        agreement: share of held-out pairs of which both prefer the same response.
        cosine: of the two changes of weights; None where one changed nothing.
        relative_difference: of the two changes, in lengths of the factual one; None likewise.
    """

    pairs: PairsChanged
    factual: Share
    other: Share
    factual_by_rest: Share
    other_by_rest: Share
    agreement: Share
    cosine: float | None
    relative_difference: float | None

    def in_words(self) -> str:
        """The finding in a sentence or two."""
        weights = (
            "one of them changed no weight"
            if self.cosine is None or self.relative_difference is None
            else f"their changes of the weights have cosine {self.cosine:.3f} and differ by "
            f"{self.relative_difference:.0%} of their length"
        )
        return (
            f"{self.pairs.in_words()}; held-out accuracy {self.other.in_words()} instead of "
            f"{self.factual.in_words()} of {self.factual.pairs} pairs, on those of the others "
            f"{self.other_by_rest.in_words()} instead of {self.factual_by_rest.in_words()} of "
            f"{self.factual_by_rest.pairs}; both prefer the same response in "
            f"{self.agreement.in_words()}; {weights}"
        )


def compare(
    service: Service,
    persona: Persona,
    *,
    factual: Path,
    other: Path,
    reference: Path,
    pairs: PairSet,
    rest: PairSet,
) -> Difference:
    """Measure both adapters on the same held-out pairs, and their weights.

    Args:
        service: where they run.
        persona: who speaks.
        factual: folder of the adapter as it is.
        other: of the one that was trained without somebody.
        reference: of what both started from.
        pairs: everybody's.
        rest: the others'.
    """
    pairs, rest = _deciding(pairs), _deciding(rest)
    encoder = Encoder(service, persona)
    known = {pair.key: pair for pair in rest.heldout} | {pair.key: pair for pair in pairs.heldout}
    asked = encoder.pairs(known.values())
    held_to = _sums(service, reference, asked)
    one = _margins(service, factual, asked, held_to)
    two = _margins(service, other, asked, held_to)
    keys = [each.key for each in asked]
    mine = _oriented(pairs.heldout, known, keys)
    theirs = _oriented(rest.heldout, known, keys)
    cosine, relative = weight_changes(
        *(read_lora(each, 1.0) for each in (factual, other, reference))
    )
    return Difference(
        pairs_changed(pairs, rest),
        _accuracy(one, mine),
        _accuracy(two, mine),
        _accuracy(one, theirs),
        _accuracy(two, theirs),
        _agreement(one, two),
        cosine,
        relative,
    )


def _deciding(pairs: PairSet) -> PairSet:
    """Without ties, which prefer none."""
    training, heldout = (
        tuple(pair for pair in each if not pair.tie) for each in (pairs.training, pairs.heldout)
    )
    return replace(pairs, training=training, heldout=heldout)


def pairs_changed(before: PairSet, after: PairSet) -> PairsChanged:
    """What became of the pairs that prefer one text; ties prefer none."""
    one, two = (
        {pair.key: pair for pair in (*each.training, *each.heldout)}
        for each in (_deciding(before), _deciding(after))
    )
    both = one.keys() & two.keys()
    turned = [key for key in both if one[key].chosen != two[key].chosen]
    moved = [
        abs(one[key].label - (two[key].label if key not in turned else 1 - two[key].label))
        for key in both
    ]
    return PairsChanged(
        len(one),
        len(two),
        len(one.keys() - two.keys()),
        len(two.keys() - one.keys()),
        len(turned),
        sum(moved) / len(moved) if moved else 0.0,
    )


def weight_changes(
    one: LoraFactors, two: LoraFactors, reference: LoraFactors
) -> tuple[float | None, float | None]:
    """Cosine and relative difference of what two adapters added to their reference."""
    rr, r1, r2 = _product(reference, reference), _product(reference, one), _product(reference, two)
    oo, ot, tt = _product(one, one), _product(one, two), _product(two, two)
    inner, first, second = ot - r1 - r2 + rr, oo - 2 * r1 + rr, tt - 2 * r2 + rr
    tiny = 1e-12 * max(oo, tt, rr)
    if first <= tiny or second <= tiny:
        return None, None
    cosine = inner / math.sqrt(first * second)
    return min(1.0, max(-1.0, cosine)), math.sqrt(max(0.0, oo - 2 * ot + tt) / first)


def _product(one: LoraFactors, two: LoraFactors) -> float:
    """Frobenius product of two deltas over the modules that both adapt."""
    total = 0.0
    for module in one.factors.keys() & two.factors.keys():
        (a, b), (c, d) = one.factors[module], two.factors[module]
        total += one.scales[module] * two.scales[module] * float(((b.T @ d) * (a @ c.T)).sum())
    return total


def _sums(service: Service, folder: Path, asked: Sequence[EncodedPair]) -> list[float]:
    """Log-probabilities of both sides of each pair, in turns, under an adapter."""
    if not asked:
        return []
    path, _ = service.paths(read_card(folder))
    client = service.wait(service.client.create_training_client_from_state(path))
    return completion_logprobs(service, client, [s for p in asked for s in (p.chosen, p.rejected)])


def _margins(
    service: Service, folder: Path, asked: Sequence[EncodedPair], held_to: Sequence[float]
) -> dict[str, float]:
    sums = _sums(service, folder, asked)
    return {
        pair.key: (sums[2 * n] - held_to[2 * n]) - (sums[2 * n + 1] - held_to[2 * n + 1])
        for n, pair in enumerate(asked)
    }


def _oriented(
    judged: Sequence[PreferencePair], known: dict[str, PreferencePair], keys: Sequence[str]
) -> dict[str, int]:
    """+1 where a pair's judgments prefer what the measured pair calls chosen, else −1."""
    signs = {pair.key: 1 if pair.chosen == known[pair.key].chosen else -1 for pair in judged}
    return {key: signs[key] for key in keys if key in signs}


def _accuracy(margins: dict[str, float], signs: dict[str, int]) -> Share:
    found = implicit_accuracy([margins[key] * sign for key, sign in signs.items()])
    return _share(found.value, found.pairs)


def _agreement(one: dict[str, float], two: dict[str, float]) -> Share:
    """Pairs of which both prefer the same response; a margin of about zero counts one half."""
    if not one:
        return _share(None, 0)
    told = [
        0.5 if min(abs(one[key]), abs(two[key])) <= NOTHING else float(one[key] * two[key] > 0)
        for key in one
    ]
    return _share(sum(told) / len(told), len(told))


def _share(value: float | None, pairs: int) -> Share:
    if value is None:
        return Share(None, None, None, pairs)
    low, high = wilson(value, pairs, quantile(0.95))
    return Share(value, float(low), float(high), pairs)
