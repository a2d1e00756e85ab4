"""What a retraining would do, before it does it: pairs, tokens, steps.

Knows the ledger and the arithmetic of a run. Starts no service.
"""

from sqlalchemy.orm import Session, sessionmaker

from db import adapters, rounds, snapshots
from db.clock import utcnow
from db.settings import base_model_dir
from training import reliability
from training.dpo_config import DPOConfig, planned_batch, planned_steps
from training.errors import TooLittleData
from training.pairs import build_pairs
from training.retraining import refuse_too_little
from training.rounds import fresh_and_earlier, left_out, trained_judgments, why_blind


def describe_run(
    sessions: sessionmaker[Session], persona: str, config: DPOConfig, include_simulated: bool
) -> str:
    """What would be trained on, in some lines; nothing is written.

    Raises:
        Refused: there is no judgment to train on.
    """
    with sessions() as session:
        now = rounds.current_round(session, persona)
        taken = snapshots.take(session, persona, include_simulated=include_simulated)
        trust = reliability.weigh(session, taken.id, config, before=utcnow())
        rows = reliability.weighted(snapshots.rows(session, taken.id), trust)
        reference = adapters.incumbent(session, persona)
        known, start = trained_judgments(session, reference), reference.id
        missing, simulated = left_out(session, taken, utcnow()), taken.n_simulated
        waits = None if now is None else why_blind(session, now)
        session.rollback()
    pairs = build_pairs(rows, config.pair_options())
    fresh, earlier = fresh_and_earlier(pairs.training, known, config)
    chosen = [*fresh, *earlier]
    lines = [pairs.in_words()]
    if missing:
        told = ", ".join(f"{count} {reason}" for reason, count in missing.items())
        lines.append(f"not counted: {told}")
    if weighty := {who: one for who, one in trust.items() if one.weight != 1}:
        told = ", ".join(f"annotator {who} {one.weight:g}" for who, one in weighty.items())
        lines.append(f"weights that are not 1: {told}")
    if simulated:
        lines.append(f"SIMULATED: {simulated} of the judgments were made by no person")
    lines += [
        f"reference: {start}",
        f"new pairs: {len(fresh)}, of earlier rounds: {len(earlier)}",
    ]
    try:
        if waits:
            raise TooLittleData(waits)
        refuse_too_little(fresh, earlier, pairs, config)
        steps = planned_steps(len(chosen), config)
        size = planned_batch(chosen, config)
        lines.append(f"steps: {steps} in {config.epochs} epochs of batches of up to {size} pairs")
    except TooLittleData as error:
        lines.append(f"would be refused: {error}")
    tokens = _tokens([text for p in chosen for text in (p.chosen, p.rejected)])
    lines.append(f"completion tokens: {tokens} an epoch, prompts not counted")
    return "\n".join(lines)


def _tokens(texts: list[str]) -> int:
    from tokenizers import Tokenizer

    file = base_model_dir() / "tokenizer.json"
    if not file.is_file():
        return sum(len(text.split()) for text in texts)
    tokenizer = Tokenizer.from_file(str(file))
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    return sum(len(one.ids) + 1 for one in encoded)
