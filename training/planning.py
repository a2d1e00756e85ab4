"""What a retraining would do, before it does it: pairs, tokens, steps, cost, and what refuses it.

Knows the ledger and the arithmetic of a run. Starts no service and writes nothing.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session, sessionmaker

from db import adapters, rounds, snapshots
from db.clock import utcnow
from preference.readiness import Readiness
from training import reliability
from training.candidates import CandidateConfig
from training.code_hash import code_sha256
from training.configs import CONFIGS, load_config
from training.costs import Tokens, count_tokens, in_words, load_prices, model_name
from training.datums import persona_rows
from training.dpo_config import DPOConfig, planned_batch, planned_steps
from training.dpo_run import REPLAY_ROWS
from training.errors import TooLittleData
from training.job_config import JobConfig
from training.pairs import PairSet, PreferencePair, build_pairs
from training.personas import persona_of, prompt_tokens
from training.readiness import not_ready, readiness_of
from training.retraining import refuse_too_little
from training.rounds import fresh_and_earlier, left_out, trained_judgments, why_blind
from training.run_keys import same_run


@dataclass(frozen=True)
class Plan:
    """What would be trained on, and what refuses it.

    Attributes:
        persona: slug.
        reference: adapter id.
        pairs: all that the judgments give.
        fresh: pairs with a judgment that the reference has not seen.
        earlier: others that are replayed.
        missing: what is not in the snapshot, by reason.
        simulated: judgments that no person made.
        trust: what each annotator's judgments weigh.
        readiness: the gate's questions.
        refusals: why a run would be refused now; empty where it would not.
    """

    persona: str
    reference: str
    pairs: PairSet
    fresh: list[PreferencePair]
    earlier: list[PreferencePair]
    missing: dict[str, int]
    simulated: int
    trust: dict[int, reliability.Trust]
    readiness: Readiness
    refusals: list[str]

    @property
    def chosen(self) -> list[PreferencePair]:
        """Every judged pair to train on."""
        return [*self.fresh, *self.earlier]


def plan_run(
    sessions: sessionmaker[Session],
    persona: str,
    config: DPOConfig,
    job: JobConfig,
    *,
    include_simulated: bool,
) -> Plan:
    """Look at the ledger as a retraining would now.

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
        ready = readiness_of(session, persona, job.limits(), include_simulated=include_simulated)
        code = code_sha256(persona)
        made = same_run(session, taken.sha256, config, reference.id, code)
        session.rollback()
    pairs = build_pairs(rows, config.pair_options())
    fresh, earlier = fresh_and_earlier(pairs.training, known, config)
    refusals = [each for each in (waits, made) if each]
    if not ready.ready:
        refusals.append(not_ready(ready))
    try:
        refuse_too_little(fresh, earlier, pairs, config)
    except TooLittleData as error:
        refusals.append(str(error))
    return Plan(persona, start, pairs, fresh, earlier, missing, simulated, trust, ready, refusals)


def describe_run(
    sessions: sessionmaker[Session],
    persona: str,
    config: DPOConfig,
    include_simulated: bool,
    job: JobConfig | None = None,
) -> str:
    """What would be trained on and what it would cost, in some lines; nothing is written.

    Raises:
        Refused: there is no judgment to train on.
    """
    job = job or load_config(JobConfig, CONFIGS / "job.yaml")
    plan = plan_run(sessions, persona, config, job, include_simulated=include_simulated)
    lines = [plan.pairs.in_words()]
    if plan.missing:
        told = ", ".join(f"{count} {reason}" for reason, count in plan.missing.items())
        lines.append(f"not counted: {told}")
    if weighty := {who: one for who, one in plan.trust.items() if one.weight != 1}:
        told = ", ".join(f"annotator {who} {one.weight:g}" for who, one in weighty.items())
        lines.append(f"weights that are not 1: {told}")
    if plan.simulated:
        lines.append(f"SIMULATED: {plan.simulated} of the judgments were made by no person")
    prompts = len({pair.prompt for pair in plan.chosen})
    lines += [
        f"reference: {plan.reference}",
        f"new pairs: {len(plan.fresh)}, of earlier rounds: {len(plan.earlier)}, "
        f"on {prompts} prompts",
        *_steps_and_tokens(plan, config),
        *(f"{each.name}: {each.words}" for each in plan.readiness.questions),
        *(f"would be refused: {each}" for each in plan.refusals),
    ]
    return "\n".join(lines)


def _steps_and_tokens(plan: Plan, config: DPOConfig) -> list[str]:
    unjudged = round(config.unjudged * len(plan.chosen))
    try:
        ties = sum(pair.tie for pair in plan.chosen)
        steps = planned_steps(len(plan.chosen) + unjudged, config, ties)
        least = planned_steps(len(plan.chosen), config, ties)
    except TooLittleData:
        return []
    size = planned_batch(range(len(plan.chosen) + unjudged), config)
    also = f", {steps} with up to {unjudged} unjudged pairs more" if unjudged else ""
    return [
        f"steps: {least} in {config.epochs} epochs of batches of up to {size} pairs{also}",
        *in_words(_tokens(plan, config, unjudged, steps), load_prices(), model_name()),
    ]


def _tokens(plan: Plan, config: DPOConfig, unjudged: int, steps: int) -> Tokens:
    """Counted with the local base's tokenizer, which for a hosted model is an estimate."""
    from transformers import AutoTokenizer

    from db.settings import base_model_dir

    speaker = persona_of(plan.persona)
    tokenizer = AutoTokenizer.from_pretrained(str(base_model_dir()), local_files_only=True)
    rows = persona_rows(REPLAY_ROWS, plan.persona) if config.replay_weight > 0 else []
    return count_tokens(
        plan.chosen,
        plan.pairs.heldout,
        unjudged=unjudged,
        steps=steps,
        replayed=[(row["messages"], row["response"]) for row in rows],
        config=config,
        candidates=load_config(CandidateConfig, CONFIGS / "candidates.yaml"),
        prompt=lambda messages: len(prompt_tokens(tokenizer, speaker, messages)),
        completion=lambda text: len(tokenizer.encode(text, add_special_tokens=False)) + 1,
    )
