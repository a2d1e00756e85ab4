"""What the failure explorer says in numbers: sentences, shares with intervals, rows for files.

Values in, words and frames out. Knows no Streamlit and no SQL.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annotate_app import findings
from annotate_app.frames import Frame, pd
from annotate_app.words import many
from db.decisions import Decision
from db.failure_texts import Failure, Said
from db.failures import Group, Kind, Standing
from preference import wilson
from preference.grouped_rate import ClusterSums, clustered_rate

Z = 1.959963984540054
NOT_TOLD = "not told"
VERDICTS = {"won": "this one", "lost": "the other", "tie": "tie", "both_bad": "both bad"}


def finding(
    name: str,
    persona: str,
    judged: int,
    lost: int,
    why: Sequence[tuple[str, int]],
    *,
    itself: bool = False,
    narrowed: bool = False,
) -> str:
    """The page in one sentence: how often an adapter lost, most often over what.

    Args:
        name: The adapter's short name.
        persona: Display name, or empty.
        judged: Judged comparisons.
        lost: Those of them lost.
        why: Reasons with the lost comparisons that carry each, the commonest first.
        itself: Whether it met itself.
        narrowed: Whether filters leave some judgments out.
    """
    where = f" for {persona}" if persona else ""
    if not judged:
        when = "under these filters" if narrowed else "yet"
        return findings.sentence(f"no comparison of {name} has been judged {when}{where}")
    over = findings.listed([f"“{tag}” ({n:,})" for tag, n in why[:2]])
    over = f", most often over {over}" if over and lost else ""
    if itself:
        return findings.sentence(
            f"one of two responses of {name} was preferred in {lost:,} of"
            f" {many(judged, 'comparison')}{where}{over}"
        )
    if not lost:
        return findings.sentence(f"{name} lost none of {many(judged, 'comparison')}{where}")
    return findings.sentence(f"{name} lost {lost:,} of {many(judged, 'comparison')}{where}{over}")


def why_frame(why: Sequence[tuple[str, int]], lost: int) -> Frame:
    """Reasons as shares of the lost comparisons.

    Returns:
        Columns label, n, value, low, high (Wilson, 95 %), share, between; the commonest first.
    """
    rows = []
    for tag, n in why:
        low, high = wilson(n / lost, lost, Z)
        rows.append((tag, n, n / lost, float(low), float(high)))
    return _said(pd.DataFrame(rows, columns=["label", "n", "value", "ci_low", "ci_high"]))


def sums(groups: Iterable[Group]) -> ClusterSums:
    """Groups as the sums that a clustered win rate is made of; a cluster is a comparison."""
    total = ClusterSums(0, 0, 0, 0, 0, 0)
    for g in groups:
        score, weight = g.wins + g.ties / 2, g.wins + g.losses + g.ties
        total += ClusterSums(score, weight, g.score2, g.cross, g.weight2, g.units)
    return total


def where_frame(groups: Sequence[Group], by: str) -> Frame:
    """Win rates by journey or intent, intervals clustered by comparison.

    Returns:
        Columns label, comparisons, lost, n (judgments that count), value, low, high, share,
        between; those that are most surely weak first.
    """
    parts: dict[str, list[Group]] = {}
    for group in groups:
        parts.setdefault(getattr(group, by) or NOT_TOLD, []).append(group)
    rows = []
    for label, inside in parts.items():
        whole = sums(inside)
        if whole.weight:
            rate = clustered_rate(whole)
            counts = (sum(g.comparisons for g in inside), sum(g.lost for g in inside))
            ends = (rate.value, rate.ci_low, rate.ci_high)
            rows.append((label.replace("_", " "), *counts, int(whole.weight), *ends))
    columns = ["label", "comparisons", "lost", "n", "value", "ci_low", "ci_high"]
    rows.sort(key=lambda row: (row[6], row[4], row[0]))
    return _said(pd.DataFrame(rows, columns=columns))


def where_title(frame: Frame, overall: float, by: str) -> str:
    """Which journey or intent is weak, as far as its interval allows it to be said."""
    first = frame.iloc[0]
    if first["ci_high"] < overall:
        rate = findings.estimate(first["value"], first["ci_low"], first["ci_high"])
        return (
            f"Weakest in {first['label']}: wins {rate}, against {findings.percent(overall)} overall"
        )
    return f"No {by} is clearly weaker than the {findings.percent(overall)} overall"


def _said(frame: Frame) -> Frame:
    bounds = list(zip(frame["ci_low"], frame["ci_high"], strict=True))
    return frame.assign(
        share=[findings.percent(value) for value in frame["value"]],
        between=[findings.interval(low, high) for low, high in bounds],
    )


def outcome_words(standing: Standing, kind: Kind) -> tuple[str, str]:
    """How a comparison stands: the main thing (``Lost 3 of 4``), and the rest (``1 tie``)."""
    s = standing
    main, left_out = f"Lost {s.losses:,} of {s.n:,}", "losses"
    if kind is Kind.BOTH_BAD:
        main, left_out = f"Both bad {s.both_bad:,} of {s.n:,}", "both_bad"
    elif kind is Kind.FLAGGED:
        main, left_out = f"Flagged {s.flags:,} of {s.n:,}", "flags"
    whole = "all by much" if s.losses > 1 else "by much"
    whole = whole if left_out == "losses" and s.much == s.losses else ""
    much = "of them by much" if left_out == "losses" else "lost by much"
    parts = [
        ("losses", s.losses, "lost"),
        ("much", s.much, whole or much),
        ("wins", s.wins, "won"),
        ("ties", s.ties, "tie" if s.ties == 1 else "ties"),
        ("both_bad", s.both_bad, "both bad"),
        ("flags", s.flags, "flagged"),
    ]
    rest = [
        word if word == whole else f"{n:,} {word}"
        for name, n, word in parts
        if n and name != left_out
    ]
    return main, ", ".join(rest)


def answers_words(said: Sequence[Said]) -> str:
    """The optional answers, which are about the preferred response, counted."""
    lines = []
    for question in ("in character", "helpful", "safe"):
        given = Counter(each.answers[question] for each in said if question in each.answers)
        if given:
            counted = ", ".join(f"{given[a]} {a}" for a in ("yes", "no", "unsure") if given[a])
            lines.append(f"{question}: {counted}")
    return " · ".join(lines)


def tag_counts(said: Sequence[Said]) -> list[tuple[str, int]]:
    """Reasons against the response, with how many judgments gave each."""
    against = [each for each in said if each.verdict in ("lost", "both_bad")]
    return Counter(tag for each in against for tag in dict.fromkeys(each.tags)).most_common()


def said_words(said: Said) -> str:
    """One judgment's verdict in words."""
    word = VERDICTS[said.verdict]
    return f"{word}, much better" if said.strength == 2 else word


def decided_words(decision: Decision, side: str) -> str:
    """What an adjudicator decided of a pair, from the adapter's side: beside the split."""
    verdict = decision.verdict.value
    seen = {side: "won"}.get(verdict, "lost") if verdict in {"a", "b"} else verdict
    word = VERDICTS[seen]
    much = ", much better" if decision.strength == 2 else ""
    return f"{word}{much}"


def file_frame(
    failures: Sequence[Failure], names: Mapping[str, Any], *, nested: bool = False
) -> Frame:
    """Comparisons as rows for a file.

    Args:
        failures: The comparisons.
        names: What is the same in every row (persona, adapter).
        nested: Turns and judgments as lists (JSON); else as texts (CSV).
    """
    rows = []
    for each in failures:
        s = each.standing
        turns = [
            {name: str(turn.get(name, "")) for name in ("role", "content")}
            for turn in each.messages
        ]
        row: dict[str, Any] = {
            **names,
            "comparison": s.comparison,
            "opponent": each.opponent,
            "round": each.round,
            "batch": each.batch,
            "batch_kind": each.batch_kind,
            "journey": each.journey,
            "intent": each.intent,
            "lost": s.losses,
            "lost_by_much": s.much,
            "won": s.wins,
            "ties": s.ties,
            "both_bad": s.both_bad,
            "judgments": s.n,
            "simulated": s.simulated,
            "automatic": s.automatic,
            "flags": "; ".join(dict.fromkeys(one.flag for one in each.said if one.flag)),
            "reasons": "; ".join(f"{tag} ({n})" for tag, n in tag_counts(each.said)),
            "comments": "\n".join(one.comment for one in each.said if one.comment),
            "prompt": turns if nested else "\n".join(f"{t['role']}: {t['content']}" for t in turns),
            "response": each.response,
            "other_response": each.other,
        }
        if nested:
            row["judged"] = [_judged(one) for one in each.said]
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.astype({"round": "Int64"}) if rows else frame


def _judged(said: Said) -> dict[str, Any]:
    return {
        "annotator": said.annotator,
        "annotator_kind": said.kind.value,
        "preferred": said_words(said),
        "reasons": list(said.tags),
        "comment": said.comment,
        "flag": said.flag,
        "preferred_response": dict(said.answers),
        "dwell_ms": said.dwell_ms,
        "created_at": said.created_at.isoformat(),
    }
