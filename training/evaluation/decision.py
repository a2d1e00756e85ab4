"""What the gate decided and on what evidence, as it is kept in the ledger.

Knows fields and nothing of how they come about.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

PROMOTE, REJECT, MORE, WAIT = "promote", "reject", "more", "wait"


@dataclass(frozen=True)
class Decision:
    """What the gate decided and on what evidence.

    Attributes:
        outcome: ``promote``, ``reject``, ``more`` (judgments are asked for) or ``wait`` (for those
            that were asked).
        promote: whether the challenger takes over.
        because: what decided: ``win``, ``loss``, ``guard``, ``judge``, ``most``, ``chance``,
            ``both bad`` or ``early``; ``missing`` where nothing is decided.
        challenger: adapter id.
        incumbent: adapter id.
        win_rate: the challenger's (wins + ties/2) / (wins + losses + ties), 0 to 1; None where
            no judgment prefers or ties.
        ci_low: lower bound, at any time.
        ci_high: upper bound.
        ci: confidence level of the bounds.
        wins: judgments for the challenger.
        losses: judgments for the incumbent.
        ties: ties.
        both_bad: verdicts that neither will do; not part of the win rate.
        judgments: all that count.
        wanted: judgments that the batch asked for.
        missing: of these, still to be given.
        most: judgments from which on no more are asked for.
        more: judgments asked for now; 0 where none are.
        chance: share of the courses that fit these judgments in which the most that may be asked
            promotes the challenger; None where it was not needed.
        prompts: different prompts judged.
        annotators: how many people (or simulated annotators) judged.
        clustered: whether the spread between annotators is in the bounds.
        method: what is one outcome in the bounds: ``every judgment``, ``prompts``, ``too few
            prompts``; empty without judgments.
        counted: ``people``, or ``everybody`` in a simulated loop.
        simulated: judgments of the batch by simulated annotators.
        automatic: judgments of the batch by automatic judges.
        early: the operator's reason for deciding before the batch was complete, or None.
        guards: each guard's value, bound, verdict and reason.
        prescreen: what a judge found before people judged, or None.
        course: the bounds on the way: ``n``, ``value``, ``low``, ``high``.
        rule: the configuration that was used.
        words: the decision in a sentence or two.
    """

    outcome: str
    promote: bool
    because: str
    challenger: str
    incumbent: str
    win_rate: float | None
    ci_low: float | None
    ci_high: float | None
    ci: float
    wins: int
    losses: int
    ties: int
    both_bad: int
    judgments: int
    wanted: int
    missing: int
    most: int
    more: int
    chance: float | None
    prompts: int
    annotators: int
    clustered: bool
    method: str
    counted: str
    simulated: int
    automatic: int
    early: str | None
    words: str
    guards: list[dict[str, Any]] = field(default_factory=list)
    prescreen: dict[str, Any] | None = None
    course: list[dict[str, float]] = field(default_factory=list)
    rule: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the comparison is over."""
        return self.outcome in (PROMOTE, REJECT)

    def evidence(self) -> dict[str, Any]:
        """Plain values, for the ledger."""
        return asdict(self)
