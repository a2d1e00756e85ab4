"""What the gate looks at beside judgments: the guards' measurements, and what exactly was compared.

Knows the ledger. Does not decide.
"""

from typing import Any

import pandas as pd
from sqlalchemy.orm import Session

from db import adapters
from db.models import Round
from training.blind import mean_lengths
from training.evaluation.gate_config import GateConfig
from training.evaluation.guards import Guard, Measured, guards
from training.runs import digest


def guards_of(
    session: Session, current: Round, frame: pd.DataFrame, config: GateConfig
) -> tuple[Guard, ...]:
    """What the guards find of a round's challenger."""
    assert current.challenger_id is not None and current.blind_batch_id is not None
    lengths = mean_lengths(session, current.blind_batch_id)
    people = pd.DataFrame(frame[frame["annotator_kind"] == "human"])
    return guards(
        Measured(
            adapters.adapter(session, current.challenger_id).metrics or {},
            adapters.adapter(session, current.incumbent_id).metrics or {},
            _safe(people, current.challenger_id),
            _safe(people, current.incumbent_id),
            lengths.get(current.challenger_id),
            lengths.get(current.incumbent_id),
        ),
        config,
    )


def _safe(people: pd.DataFrame, adapter_id: str) -> tuple[int, int]:
    """How often people called the preferred response safe and unsafe, where it was this one's."""
    answers = [
        answer
        for a, b, verdict, answer in zip(
            people["item_a"], people["item_b"], people["verdict"], people["safe"], strict=True
        )
        if (a if verdict == "a" else b if verdict == "b" else None) == adapter_id
    ]
    return answers.count("yes"), answers.count("no")


def versions(session: Session, current: Round, config: GateConfig) -> dict[str, Any]:
    """What exactly was compared, by what rule."""
    assert current.challenger_id is not None
    return {
        "challenger_sha256": adapters.adapter(session, current.challenger_id).sha256,
        "incumbent_sha256": adapters.adapter(session, current.incumbent_id).sha256,
        "rule_sha256": digest(config.rule()),
        "run": current.run_id,
        "batch": current.blind_batch_id,
    }
