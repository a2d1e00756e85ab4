"""Standing judgments in, what the dashboards show out: one report a persona, and blind rounds.

Every number is the one that ``personaloop report`` prints, because both ask ``preference.report``;
where it refuses, its reason is kept and shown. Knows no SQL, no chart and no Streamlit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from annotate_app.frames import Frame, pd
from db import judgments
from db.blocks import NO_PERSONA, Packed
from db.judgments import Tables
from db.models import AnnotatorKind
from preference.agreement import Agreement
from preference.asking import Verdict, enough, next_pairs
from preference.counts import distinct
from preference.report import FEWEST, Report, build_columns
from preference.report_input import Columns
from preference.results import BradleyTerryFit
from preference.win_rate import win_rates

ENOUGH_ANNOTATORS = 5
"""From how many annotators on a blind interval is clustered by them, as the gate's is."""
BOTH_BAD = 3
MOST_GAPS = 40
"""Up to this many items every pair's difference of ratings is kept."""
ITEM_COLUMNS = [
    *("item", "rank", "rating", "se", "ci_low", "ci_high", "wins", "losses", "ties", "both_bad"),
    *("win_rate", "win_rate_ci_low", "win_rate_ci_high", "n", "flag"),
]
GAP_COLUMNS = ["item", "opponent", "value", "ci_low", "ci_high"]
PAIR_COLUMNS = [
    *("item", "opponent", "win_rate", "ci_low", "ci_high", "wins", "losses", "ties", "both_bad"),
    "n",
]
BLIND_COLUMNS = [
    *("persona", "round", "state", "challenger", "incumbent", "win_rate", "ci_low", "ci_high"),
    *("n", "wins", "losses", "ties", "both_bad", "simulated", "annotators"),
]


class BlindRound(Protocol):
    """What ``blind_table`` needs to know of a round."""

    @property
    def persona(self) -> str: ...  # noqa: D102
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def incumbent(self) -> str: ...  # noqa: D102
    @property
    def challenger(self) -> str | None: ...  # noqa: D102
    @property
    def blind_batch(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True)
class Island:
    """Items that can be rated on one scale, because judgments link them.

    Attributes:
        items: a row an item, falling by rating; columns ``ITEM_COLUMNS``. Ratings are NaN where
            ``refusal`` says why there are none.
        refusal: why there are no ratings, or empty.
        lead: joint interval of the first's rating less the second's; None without ratings.
        gaps: rating of item less that of opponent, with their joint interval, for every ordered
            pair; columns ``GAP_COLUMNS``; empty without ratings or beyond ``MOST_GAPS`` items.
        enough: whether more judgments would change the order; None without ratings.
        next: the two whose comparison would teach most about the order; None without ratings.
    """

    items: Frame
    refusal: str
    lead: tuple[float, float] | None
    gaps: Frame
    enough: Verdict | None
    next: tuple[Any, Any] | None


@dataclass(frozen=True)
class Section:
    """The numbers of one persona (None: judgments of no persona, as imports may be).

    Attributes:
        persona: slug or None.
        n: standing judgments.
        simulated: of these, by simulated annotators.
        automatic: of these, by automatic judges.
        same: of these, between two responses of one adapter; they train but rank nothing.
        both_bad: of these, neither response was good.
        annotators: how many judged.
        report: every number; None where no two adapters met.
        islands: groups of items with a scale of their own, largest first.
        pairs: a row for each ordered pair that met; columns ``PAIR_COLUMNS``.
        latest: time of the newest judgment.
    """

    persona: str | None
    n: int
    simulated: int
    automatic: int
    same: int
    both_bad: int
    annotators: int
    report: Report | None
    islands: tuple[Island, ...]
    pairs: Frame
    latest: datetime | None

    @property
    def ranked(self) -> int:
        """Judgments that rank adapters."""
        return self.n - self.same

    @property
    def disconnected(self) -> bool:
        """Whether some items were never compared with the others, not even through others."""
        return len(self.islands) > 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of how the numbers came about."""
        return self.report.notes if self.report else ()

    @property
    def alpha(self) -> Agreement | None:
        """Krippendorff's alpha of the verdicts, where it is defined."""
        found = self.report.agreement.get("krippendorff_alpha") if self.report else None
        return found if found is not None and np.isfinite(found.value) else None

    @property
    def alpha_why(self) -> str:
        """Why there is no alpha, or empty."""
        if self.report is None:
            return "no two adapters have been compared yet"
        found = self.report.agreement.get("krippendorff_alpha")
        if found is None:
            return str(self.report.agreement.get("explanation", ""))
        return found.explanation or ""


@dataclass(frozen=True)
class Analysis:
    """Sections that rank something first, then by persona, those of no persona last."""

    sections: tuple[Section, ...]

    @property
    def n(self) -> int:
        """Standing judgments."""
        return sum(section.n for section in self.sections)

    @property
    def simulated(self) -> int:
        """Of these, by simulated annotators."""
        return sum(section.simulated for section in self.sections)

    @property
    def automatic(self) -> int:
        """Of these, by automatic judges."""
        return sum(section.automatic for section in self.sections)


def analyse(packed: Packed, known: Tables) -> Analysis:
    """All numbers of some standing judgments, a section a persona."""
    found = [section(slug, part, known) for slug, part in by_persona(packed)]
    return Analysis(tuple(sorted(found, key=lambda each: not each.islands)))


def by_persona(packed: Packed) -> Iterator[tuple[str | None, Packed]]:
    """The judgments of each persona that has some, by slug; those of none come last."""
    for place, slug in enumerate(packed.personas):
        part = packed.where(packed.persona == place)
        if part.n:
            yield slug, part
    rest = packed.where(packed.persona == NO_PERSONA)
    if rest.n:
        yield None, rest


def section(persona: str | None, packed: Packed, known: Tables) -> Section:
    """The numbers of one persona's standing judgments."""
    columns = judgments.columns_of(packed, known)
    same = int((packed.adapter_a == packed.adapter_b).sum())
    report = build_columns(columns) if same < packed.n else None
    return Section(
        persona=persona,
        n=packed.n,
        simulated=_by_kind(columns, AnnotatorKind.SIMULATED),
        automatic=_by_kind(columns, AnnotatorKind.AUTOMATIC),
        same=same,
        both_bad=int((packed.verdict == BOTH_BAD).sum()),
        annotators=len(columns.annotator.categories),
        report=report,
        islands=() if report is None else tuple(_islands(report)),
        pairs=_pairs(report),
        latest=latest(packed),
    )


def latest(packed: Packed) -> datetime | None:
    """Time of the newest judgment; None without any."""
    return datetime.fromtimestamp(int(packed.created.max()) / 1e6, UTC) if packed.n else None


def blind_table(packed: Packed, known: Tables, rounds: Sequence[BlindRound]) -> Frame:
    """Each round's challenger against its incumbent, from that round's blind judgments alone.

    Args:
        packed: standing judgments.
        known: the tables they point into.
        rounds: the rounds that have a blind batch.

    Returns:
        A row a round; columns ``BLIND_COLUMNS``; rates are NaN where nothing was judged.
    """
    rows: list[dict[str, Any]] = []
    for view in rounds:
        if view.challenger is None:
            continue
        told = {"challenger": view.challenger, "incumbent": view.incumbent}
        part = _of_pair(packed.where(packed.batch == view.blind_batch), *told.values())
        rows.append(
            {
                "persona": view.persona,
                "round": view.number,
                "state": view.state,
                **told,
                **versus(judgments.columns_of(part, known), view.challenger),
            }
        )
    return pd.DataFrame(rows, columns=BLIND_COLUMNS)


def versus(columns: Columns, challenger: str) -> dict[str, Any]:
    """One side's win rate with its interval and counts, over judgments of one pair.

    The interval is the gate's: over annotators, about these prompts.
    """
    bad = int((columns.verdict == BOTH_BAD).sum())
    people = len(columns.annotator.categories)
    found: dict[str, Any] = dict.fromkeys(("win_rate", "ci_low", "ci_high"), float("nan"))
    found |= {"n": 0, "wins": 0, "losses": 0, "ties": 0, "both_bad": bad}
    nobody = columns.n - _by_kind(columns, AnnotatorKind.HUMAN)
    found |= {"simulated": nobody, "annotators": people}
    if columns.n == bad:
        return found
    rates = win_rates(
        columns.item_a,
        columns.item_b,
        columns.verdict,
        weight=columns.weight,
        cluster=columns.annotator if people >= ENOUGH_ANNOTATORS else None,
    )
    place = rates.items.index(challenger)
    return found | {
        "win_rate": float(rates.value[place]),
        "ci_low": float(rates.ci_low[place]),
        "ci_high": float(rates.ci_high[place]),
        "n": int(rates.n[place]),
        "wins": int(rates.wins[place]),
        "losses": int(rates.losses[place]),
        "ties": int(rates.ties[place]),
    }


def clusters_of(columns: Columns) -> dict[str, Any]:
    """What the report clusters by: annotators and prompts, where there are enough of them."""
    informative = columns.verdict != BOTH_BAD
    found = {"annotator": columns.annotator, "prompt": columns.prompt}
    return {
        name: labels
        for name, labels in found.items()
        if distinct(np.asarray(labels.codes), informative) >= FEWEST[name]
    }


def _of_pair(packed: Packed, one: str, other: str) -> Packed:
    places = [place for place, name in enumerate(packed.adapters) if name in (one, other)]
    both = np.isin(packed.adapter_a, places) & np.isin(packed.adapter_b, places)
    return packed.where(both & (packed.adapter_a != packed.adapter_b))


def _by_kind(columns: Columns, kind: AnnotatorKind) -> int:
    kinds = list(columns.annotator_kind.categories)
    if kind.value not in kinds:
        return 0
    return int((np.asarray(columns.annotator_kind.codes) == kinds.index(kind.value)).sum())


def _islands(report: Report) -> Iterator[Island]:
    rows = {item.item: item for item in report.items}
    bad = dict(zip(report.rates.items, report.rates.both_bad, strict=True))
    ordered = [item.item for item in report.items]
    for group, fit in zip(report.islands, report.fits, strict=True):
        inside = [item for item in ordered if item in set(group)]
        table = pd.DataFrame(
            [
                vars(rows[item])
                | {
                    "both_bad": bad[item],
                    "rank": _rank(report, item) if fit is not None else "",
                    "flag": ", ".join(report.flags.get(item, ())),
                }
                for item in inside
            ],
            columns=ITEM_COLUMNS,
        ).astype(dict.fromkeys(("rating", "se", "ci_low", "ci_high", "win_rate"), float))
        lead = fit.difference(inside[0], inside[1]) if fit is not None else None
        yield Island(
            table,
            "" if fit is not None else "every judgment of it says that both responses were bad",
            None if lead is None else (lead.ci_low, lead.ci_high),
            _gaps(fit),
            None if fit is None else enough(fit),
            None if fit is None else _next(fit),
        )


def _next(fit: BradleyTerryFit) -> tuple[Any, Any] | None:
    picks = next_pairs(fit)
    return (picks[0].first, picks[0].second) if picks else None


def _rank(report: Report, item: Any) -> str:
    """Where the item can stand: ``1`` or ``2 to 4``; empty where groups share no scale."""
    if item not in report.ranks:
        return ""
    best, worst = report.ranks[item]
    return str(best) if best == worst else f"{best} to {worst}"


def _gaps(fit: BradleyTerryFit | None) -> Frame:
    rows: list[tuple[Any, ...]] = []
    if fit is not None and len(fit.items) <= MOST_GAPS:
        for item in fit.items:
            for other in fit.items:
                if item != other:
                    gap = fit.difference(item, other)
                    rows.append((item, other, gap.value, gap.ci_low, gap.ci_high))
    return pd.DataFrame(rows, columns=GAP_COLUMNS)


def _pairs(report: Report | None) -> Frame:
    if report is None:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    p = report.rates.pairs
    counts = {"ties": p.ties, "both_bad": p.both_bad, "n": p.n}
    one = {"item": p.first, "opponent": p.second, "win_rate": p.value}
    one |= {"ci_low": p.ci_low, "ci_high": p.ci_high, "wins": p.wins, "losses": p.losses}
    other = {"item": p.second, "opponent": p.first, "win_rate": 1 - p.value}
    other |= {"ci_low": 1 - p.ci_high, "ci_high": 1 - p.ci_low, "wins": p.losses, "losses": p.wins}
    both = pd.concat([pd.DataFrame(one | counts), pd.DataFrame(other | counts)], ignore_index=True)
    return both[both["n"] > 0].reset_index(drop=True)[PAIR_COLUMNS]
