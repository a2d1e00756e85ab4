"""From preference pairs to an adapter folder: encode, train, export, report.

Knows how the pieces of a preference run go together. Does not know judgments, rounds or jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from db.models import Adapter
from db.settings import REPOSITORY
from training.adapters import AdapterCard, card_of
from training.candidates import Progress
from training.datums import EncodedPair, Encoder, persona_rows
from training.dpo import DPOData, identity_of, train_dpo
from training.dpo_config import DPOConfig, planned_steps
from training.errors import TooLittleData
from training.exporting import export_adapter, made_already, pin
from training.keeping import tell_hosted
from training.pairs import PairSet, PreferencePair
from training.personas import Persona
from training.reference import Reference
from training.runs import RunFolder
from training.service import Service

COUNTS = ("judgments", "trained_judgments", "heldout_judgments")
ALARMS = ("alarm", "alarm_steps")
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
        told: more for the run's report and the card's metrics: what was left out of the snapshot,
            how many of its judgments are simulated, and so on.
        progress: told stage and share, 0 to 1; may raise to stop.

    Raises:
        TrainingError: a refusal with its reason; a folder that exists is left as it is.
    """
    tell_hosted(service, config, run)
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
    told = {} if told is None else told
    named = told if snapshot is None else {**told, "snapshot": snapshot}
    report = pairs_report(pairs, chosen, data, named, dict(encoder.refused))
    try:
        planned_steps(len(training), config, sum(pair.tie for pair in training))
    except TooLittleData as error:
        raise TooLittleData(f"{error} ({pairs.in_words(report['dropped_judgments'])})") from None
    start = card_of(reference)
    train_path, _ = service.paths(start)
    held_to = Reference(reference.id, start.sha256, train_path)
    identity = identity_of(service, data, config, held_to)
    made = made_already(service, out, run, identity)
    if made is not None:
        return made
    run.begin(identity)
    run.write("pairs.json", report)
    pin(service, start)
    result = train_dpo(service, data, config, held_to, run, progress)
    alarms = {name: result.metrics[name] for name in ALARMS if name in result.metrics}
    if alarms:
        run.write("pairs.json", {**report, **alarms})
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
                **told,
                **{name: report[name] for name in COUNTS},
                "dropped": report["dropped_judgments"],
            },
        ),
    )
    last = run.checkpoint()
    service.forget(last.path if last else None)
    return card


def pairs_report(
    pairs: PairSet,
    chosen: Sequence[PreferencePair],
    data: DPOData,
    told: Mapping[str, Any],
    refused: dict[str, int],
) -> dict[str, Any]:
    """What was trained on, and every judgment that was not, under its reason.

    Args:
        pairs: everything that the judgments gave.
        chosen: the pairs of it to train on, and unjudged ones.
        data: what of them is trained on and measured with.
        told: more for the report.
        refused: sequences that could not be encoded, by reason.
    """
    trained, heldout = _judgments(data.training), _judgments(data.heldout)
    more = {
        "of earlier rounds, not replayed": _judgments(pairs.training) - _judgments(chosen),
        "too long or empty for the model": (
            _judgments(chosen) + _judgments(pairs.heldout) - trained - heldout
        ),
    }
    dropped = {**pairs.dropped, **{reason: count for reason, count in more.items() if count}}
    return {
        "in_words": pairs.in_words(dropped),
        "judgments": pairs.judgments,
        "trained_judgments": trained,
        "heldout_judgments": heldout,
        "training_pairs": len(data.training),
        **told,
        "heldout_pairs": len(data.heldout),
        "dropped_judgments": dropped,
        "refused_sequences": refused,
        "pairs": [
            {
                "key": p.key,
                "label": p.label,
                "weight": p.weight,
                "judgments": p.judgments,
                **({"tie": True} if p.tie else {}),
            }
            for p in data.training
        ],
    }


def _judgments(pairs: Sequence[PreferencePair] | Sequence[EncodedPair]) -> int:
    """How many judgments are behind pairs."""
    return sum(len(pair.judgments) for pair in pairs)
