"""The loop's report: the table that is printed and report.json.

Knows rows and the environment. Does not know how the rows came about.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from training.loop import LoopPlan, Row, percent
from training.runs import write_atomically

PACKAGES = ("personaloop", "tinker", "torch", "transformers", "peft", "sqlalchemy", "numpy")


def environment(
    plan: LoopPlan, *, base_model: str, base_sha256: str, service: str
) -> dict[str, Any]:
    """What the numbers depend on, for report.json."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "simulated": True,
        "judge": plan.judge or "built-in hidden preference (training/evaluation/judges.py)",
        "annotators": plan.annotators,
        "seed": plan.seed,
        "rounds": plan.rounds,
        "judgments": plan.judgments,
        "base_model": base_model,
        "base_model_sha256": base_sha256,
        "service": service,
        "dpo": asdict(plan.dpo),
        "candidates": asdict(plan.candidates),
        "python": sys.version.split()[0],
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def write_report(path: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Write report.json, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"rounds": [asdict(row) for row in rows], "environment": about}
    write_atomically(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def table(rows: Sequence[Row], plan: LoopPlan) -> str:
    """The win rates for people, marked as simulated."""
    who = f"judge {plan.judge}" if plan.judge else "their built-in hidden preference"
    lines = [
        f"SIMULATED: every judgment that is counted here was made by {plan.annotators} simulated "
        f"annotators ({who}), none by a person.",
        "Win rate in blind comparisons on held-out prompts, with 95 % interval.",
        "",
        f"{'persona':<18} {'round':>5} {'judgments':>9}  {'against the previous':<22}"
        f"  {'against the start':<22}  {'held-out':>8}  {'':<9} {'seconds':>7}",
    ]
    for row in rows:
        lines.append(
            f"{row.persona:<18} {row.round:>5} {row.judgments:>9}  "
            f"{_rate(row.win_rate_vs_previous, row.ci):<22}  "
            f"{_rate(row.win_rate_vs_start, row.ci_start):<22}  "
            f"{percent(row.heldout_accuracy):>8}  "
            f"{'promoted' if row.promoted else 'rejected':<9} {row.seconds:>7.0f}"
        )
    for row in rows:
        if row.by_people:
            lines.append(
                f"{row.persona} round {row.round} also learned from {row.by_people} judgments by "
                "people that were in this ledger."
            )
    total = sum(row.seconds for row in rows)
    lines.append("")
    lines.append(f"{len(rows)} rounds in {total / 60:.1f} minutes. SIMULATED.")
    return "\n".join(lines)


def _rate(value: float | None, interval: Sequence[float]) -> str:
    if value is None or not interval:
        return "–"
    return f"{percent(value)} [{percent(interval[0])}, {percent(interval[1])}]"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
