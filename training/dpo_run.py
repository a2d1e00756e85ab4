"""From preference pairs to an adapter folder: encode, train, export, report.

Knows how the pieces of a preference run go together. Does not know judgments, rounds or jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from db.models import Adapter
from db.settings import REPOSITORY
from training.adapters import AdapterCard
from training.batches import card_of
from training.candidates import Progress
from training.datums import EncodedPair, Encoder, persona_rows
from training.dpo import DPOData, Reference, train_dpo
from training.dpo_config import DPOConfig
from training.exporting import export_adapter
from training.pairs import PairSet, PreferencePair
from training.personas import Persona
from training.runs import RunFolder
from training.service import Service

REPLAY_ROWS = REPOSITORY / "data" / "persona_training.jsonl"


def train_adapter(
    service: Service,
    persona: Persona,
    chosen: Sequence[PreferencePair],
    pairs: PairSet,
    config: DPOConfig,
    reference: Adapter,
    run: RunFolder,
    out: Path,
    *,
    key: str | None = None,
    snapshot: str | None = None,
    told: Mapping[str, Any] | None = None,
    progress: Progress = lambda stage, share: None,
) -> AdapterCard:
    """Train on pairs and write the adapter folder. Killed, the same call resumes exactly.

    Args:
        service: where to train.
        persona: who speaks.
        chosen: the pairs to train on.
        pairs: the whole set that they are from: held-out pairs and what was dropped.
        config: the run.
        reference: the adapter to start from and hold to.
        run: the run's folder; pairs.json in it says what was used and what was not.
        out: the adapter folder, its last part the adapter's id.
        key: names the run in the card.
        snapshot: SHA-256 of the judgments, for the card.
        told: more for the run's report and the card's metrics.
        progress: told stage and share, 0 to 1; may raise to stop.

    Raises:
        TrainingError: a refusal with its reason.
    """
    encoder = Encoder(service, persona)
    replay: list[Any] = []
    if config.replay_weight > 0:
        rows = persona_rows(REPLAY_ROWS, persona.slug)
        replay = [encoder.sequence(row["messages"], row["response"]) for row in rows]
    encoder.refused.clear()
    training = encoder.pairs(chosen)
    data = DPOData(
        tuple(training),
        tuple(encoder.pairs(pairs.heldout)),
        tuple(row for row in replay if row is not None),
    )
    run.path.mkdir(parents=True, exist_ok=True)
    run.write("pairs.json", pairs_report(pairs, training, told or {}, dict(encoder.refused)))
    start = card_of(reference)
    train_path, _ = service.paths(start)
    held_to = Reference(reference.id, start.sha256, train_path)
    result = train_dpo(service, data, config, held_to, run, progress)
    progress("exporting", 1.0)
    card = export_adapter(
        service,
        result.client,
        out,
        AdapterCard(
            id=out.name,
            persona=persona.slug,
            base_model=service.stored_base,
            base_model_sha256=service.base_sha256,
            kind="dpo",
            parents=({"id": reference.id, "sha256": start.sha256, "weight": 1.0},),
            run=key or run.path.name,
            snapshot=snapshot,
            config=asdict(config),
            metrics={
                **result.metrics,
                **(told or {}),
                "judgments": pairs.judgments,
                "dropped": pairs.dropped,
            },
        ),
    )
    last = run.checkpoint()
    service.forget(last.path if last else None)
    return card


def pairs_report(
    pairs: PairSet,
    training: Sequence[EncodedPair],
    told: Mapping[str, Any],
    refused: dict[str, int],
) -> dict[str, Any]:
    """What was trained on, and every judgment that was not, under its reason."""
    return {
        "in_words": pairs.in_words(),
        "judgments": pairs.judgments,
        "training_pairs": len(training),
        **told,
        "heldout_pairs": len(pairs.heldout),
        "dropped_judgments": pairs.dropped,
        "refused_sequences": refused,
        "pairs": [
            {"key": p.key, "label": p.label, "weight": p.weight, "judgments": p.judgments}
            for p in training
        ],
    }
