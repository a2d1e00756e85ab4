"""Fills a temporary ledger with believable rounds, so that pages and queries have something to say.

Verdicts come from stated true strengths and a seeded generator; nothing here is random twice.
"""

from __future__ import annotations

import hashlib
import json
import random
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from db import adapters, batches, candidates, personas, prompts
from db.clock import utcnow
from db.models import (
    AliasChange,
    Annotator,
    AnnotatorKind,
    Assignment,
    AssignmentState,
    Batch,
    Comparison,
    Job,
    JobKind,
    JobState,
    Judgment,
    Role,
    Round,
    RoundState,
    Run,
    Snapshot,
    SnapshotJudgment,
)

PERSONAS = {
    "formal_concierge": ("Formal Concierge", "Courteous, precise, never hurried."),
    "luxury_curator": ("Luxury Curator", "Quiet taste, few words, well chosen."),
    "playful_sidekick": ("Playful Sidekick", "Warm, quick and a little cheeky."),
    "technical_advisor": ("Technical Advisor", "Exact steps, no ornament."),
}
QUESTIONS = [
    "How can I reset my password for {}?",
    "My {} shows a blinking light, what now?",
    "I was charged twice for {} this month.",
    "Is the {} Plus plan worth it for two people?",
    "How do I invite a colleague to {}?",
    "The {} app logs me out every hour.",
    "Can I cancel {} before the trial ends?",
    "I want to speak to somebody about {}.",
]
PRODUCTS = ["Lumora", "Veltrix 3", "Pindle", "Qoria", "Haven 12"]


def seed_world(
    session: Session,
    outputs: Path | None = None,
    *,
    rounds: int = 3,
    persona_slugs: Sequence[str] = ("playful_sidekick", "technical_advisor"),
    humans: int = 6,
    simulated: int = 0,
    judged: int = 90,
    blind: int = 60,
    gains: Sequence[float] = (0.55, 0.5, 0.15),
    open_last: bool = True,
    seed: int = 7,
) -> None:
    """Personas, people, adapters and ``rounds`` rounds with label and blind comparisons.

    Args:
        session: an open session; the caller commits.
        outputs: where run folders with metrics.jsonl go; None writes none.
        rounds: rounds a persona.
        persona_slugs: who gets rounds; the other personas stay without judgments.
        humans: people who judge.
        simulated: simulated annotators who judge as well.
        judged: judgments of each label batch.
        blind: judgments of each blind batch.
        gains: log-strength that each round's challenger adds to its incumbent.
        open_last: leave the last round's blind comparison half judged and undecided.
        seed: of the generator.
    """
    chance = random.Random(seed)
    now = utcnow()
    for slug, (name, summary) in PERSONAS.items():
        personas.put_persona(session, slug=slug, name=name, summary=summary)
        shipped = put_adapter(
            session, slug, f"{slug}-sft-v1", "sft", now - timedelta(days=rounds + 2)
        )
        session.add(
            AliasChange(
                persona_slug=slug,
                adapter_id=shipped,
                previous_id=None,
                reason="shipped",
                actor="personaloop",
                created_at=now - timedelta(days=rounds + 2),
            )
        )
    who = people(session, humans, simulated)
    for slug in persona_slugs:
        incumbent, strength = f"{slug}-sft-v1", {f"{slug}-sft-v1": 0.0}
        for number in range(1, rounds + 1):
            at = now - timedelta(days=rounds - number + 1, minutes=7)
            last = open_last and number == rounds
            challenger = f"{slug}-dpo-r{number}"
            strength[challenger] = strength[incumbent] + gains[(number - 1) % len(gains)]
            label = open_batch(session, f"{slug} round {number}", "label", slug, at)
            done = ask(
                session, chance, label, slug, [incumbent, incumbent], judged, who, strength, at
            )
            shot = snapshot(session, slug, done, at + timedelta(hours=3))
            run = add_run(session, outputs, slug, number, shot, incumbent, at + timedelta(hours=3))
            put_adapter(
                session, slug, challenger, "dpo", at + timedelta(hours=4), parent=incumbent, run=run
            )
            versus = open_batch(session, f"{slug} blind {number}", "blind", slug, at, priority=10)
            ask(
                session,
                chance,
                versus,
                slug,
                [incumbent, challenger],
                blind,
                who,
                strength,
                at + timedelta(hours=5),
                share=0.6 if last else 1.0,
            )
            session.add(
                Round(
                    persona_slug=slug,
                    number=number,
                    state=RoundState.BLIND if last else RoundState.PROMOTED,
                    incumbent_id=incumbent,
                    challenger_id=challenger,
                    label_batch_id=label.id,
                    blind_batch_id=versus.id,
                    run_id=run,
                    decision={} if last else {"rule": "lower end of the interval above 50 %"},
                    decided_at=None if last else at + timedelta(hours=9),
                    created_at=at,
                )
            )
            if not last:
                session.add(
                    AliasChange(
                        persona_slug=slug,
                        adapter_id=challenger,
                        previous_id=incumbent,
                        reason="promoted: won the blind comparison",
                        actor="gate",
                        created_at=at + timedelta(hours=9),
                    )
                )
                incumbent = challenger
    session.flush()


def people(session: Session, humans: int, simulated: int) -> list[Annotator]:
    """Annotators, one admin and one analyst among the people; those already there are found."""
    names = ["Ada", "Bruno", "Chiara", "Deniz", "Elif", "Femi", "Greta", "Hugo"]
    made = [
        Annotator(
            name=names[place % len(names)] + ("" if place < len(names) else f" {place}"),
            role=Role.ADMIN if place == 0 else Role.ANALYST if place == 1 else Role.EVALUATOR,
        )
        for place in range(humans)
    ]
    made += [
        Annotator(name=f"simulated-{place:02d}", kind=AnnotatorKind.SIMULATED)
        for place in range(simulated)
    ]
    there = {person.name: person for person in session.query(Annotator)}
    session.add_all([person for person in made if person.name not in there])
    session.flush()
    return [there.get(person.name, person) for person in made]


def put_adapter(
    session: Session,
    slug: str,
    adapter_id: str,
    kind: str,
    at: datetime,
    *,
    parent: str | None = None,
    run: int | None = None,
) -> str:
    """An adapter known to the ledger (no files)."""
    digest = hashlib.sha256(adapter_id.encode()).hexdigest()
    made = adapters.put_adapter(
        session,
        id=adapter_id,
        kind=kind,
        persona=slug,
        sha256=digest,
        parents=[] if parent is None else [{"id": parent, "sha256": "", "weight": 1.0}],
        run_id=run,
        metrics={"heldout_accuracy": 0.71} if kind == "dpo" else {},
    )
    made.created_at = at
    session.flush()
    return adapter_id


def open_batch(
    session: Session, name: str, kind: str, slug: str | None, at: datetime, priority: int = 0
) -> Batch:
    """A batch opened at a time."""
    batch = batches.open_batch(
        session, name=name, kind=kind, persona=slug, overlap=2, priority=priority
    )
    batch.created_at = at
    return batch


def ask(
    session: Session,
    chance: random.Random,
    batch: Batch,
    slug: str | None,
    sides: Sequence[str],
    wanted: int,
    who: Sequence[Annotator],
    strength: dict[str, float],
    at: datetime,
    *,
    share: float = 1.0,
) -> list[Judgment]:
    """Comparisons between two sides, two judgments each, ``share`` of them given."""
    judgments: list[Judgment] = []
    for number in range(max(1, wanted // 2)):
        product = PRODUCTS[number % len(PRODUCTS)]
        question = QUESTIONS[number % len(QUESTIONS)].format(product)
        prompt = prompts.put_prompt(
            session,
            [{"role": "user", "content": f"{question} (case {number // 5})"}],
            split="heldout" if batch.kind == "blind" else "loop",
        )
        both = [
            candidates.put_candidate(
                session,
                prompt_id=prompt.id,
                persona=slug,
                adapter_id=side,
                text=f"An answer about {product}, way {place}, take {number}.",
                seed=number * 10 + place,
                source=batch.name,
            )
            for place, side in enumerate(sides)
        ]
        comparison = batches.put_comparison(session, batch, both[0], both[1])
        for judge in chance.sample(list(who), k=min(2, len(who))):
            if chance.random() < share:
                judgments.append(judge_once(session, chance, comparison, judge, strength, at))
    return judgments


def judge_once(
    session: Session,
    chance: random.Random,
    comparison: Comparison,
    who: Annotator,
    strength: dict[str, float],
    at: datetime,
    verdict: str | None = None,
) -> Judgment:
    """One standing judgment, drawn from the true strengths with some ties, or as told."""
    a, b = comparison.candidate_a.adapter_id, comparison.candidate_b.adapter_id
    placement = chance.choice((-1, 1))
    edge = strength.get(a, 0.0) - strength.get(b, 0.0) + 0.1 * placement
    win = 1 / (1 + 2.718281828 ** (-2 * edge))
    roll = chance.random()
    if verdict is None:
        verdict = (
            "both_bad"
            if roll < 0.03
            else "tie"
            if roll < 0.13
            else "a"
            if chance.random() < win
            else "b"
        )
    moment = at + timedelta(seconds=chance.randint(30, 3 * 3600))
    assignment = Assignment(
        token=secrets.token_urlsafe(32)[:43],
        comparison_id=comparison.id,
        annotator_id=who.id,
        placement=placement,
        state=AssignmentState.JUDGED,
        leased_at=moment,
        shown_at=moment,
        expires_at=moment + timedelta(minutes=15),
    )
    session.add(assignment)
    session.flush()
    judgment = Judgment(
        assignment_id=assignment.id,
        comparison_id=comparison.id,
        annotator_id=who.id,
        verdict=verdict,
        strength=chance.choice((1, 2)) if verdict in ("a", "b") else None,
        placement=placement,
        dwell_ms=chance.randint(2500, 30000),
        created_at=moment + timedelta(seconds=20),
    )
    session.add(judgment)
    comparison.seats = max(0, comparison.seats - 1)
    session.flush()
    return judgment


def snapshot(session: Session, slug: str, judgments: Sequence[Judgment], at: datetime) -> Snapshot:
    """The judgments frozen for a run."""
    digest = hashlib.sha256(f"{slug} {[j.id for j in judgments]}".encode()).hexdigest()
    kinds = {a.id: a.kind for a in session.query(Annotator)}
    made = Snapshot(
        persona_slug=slug,
        sha256=digest,
        n_judgments=len(judgments),
        n_simulated=sum(kinds[j.annotator_id] != AnnotatorKind.HUMAN for j in judgments),
        created_at=at,
    )
    session.add(made)
    session.flush()
    session.add_all(SnapshotJudgment(snapshot_id=made.id, judgment_id=j.id) for j in judgments)
    session.flush()
    return made


def add_run(
    session: Session,
    outputs: Path | None,
    slug: str,
    number: int,
    shot: Snapshot,
    reference: str,
    at: datetime,
    state: JobState = JobState.DONE,
) -> int:
    """A retraining job with its run, and curves on disk where ``outputs`` is given."""
    done = state is JobState.DONE
    job = Job(
        kind=JobKind.RETRAIN,
        persona_slug=slug,
        state=state,
        stage="done" if done else "training",
        progress=1.0 if done else 0.45,
        message=f"{slug}-dpo-r{number} awaits its blind comparison" if done else "",
        requested_by="Ada",
        attempts=1,
        worker=None if done else "worker-1",
        lease_expires_at=None if done else utcnow() + timedelta(minutes=2),
        created_at=at,
        started_at=at + timedelta(seconds=4),
        finished_at=at + timedelta(minutes=2) if done else None,
    )
    session.add(job)
    session.flush()
    folder = ""
    if outputs is not None:
        path = outputs / "runs" / f"{slug}-{number}"
        path.mkdir(parents=True, exist_ok=True)
        write_metrics(path / "metrics.jsonl", 24 if done else 11, seed=number)
        folder = str(path)
    run = Run(
        job_id=job.id,
        kind=JobKind.RETRAIN,
        persona_slug=slug,
        snapshot_id=shot.id,
        reference_id=reference,
        config={"beta": 0.1, "learning_rate": 5e-4},
        state=state,
        folder=folder,
        started_at=at,
        finished_at=job.finished_at,
    )
    session.add(run)
    session.flush()
    return run.id


def write_metrics(path: Path, steps: int, seed: int = 0) -> None:
    """A believable metrics.jsonl: loss falls, accuracy and margin rise, held-out lags behind."""
    chance = random.Random(seed)
    lines = []
    for step in range(1, steps + 1):
        gone = step / 24
        row = {
            "step": step,
            "steps": 24,
            "loss": 0.693 - 0.3 * gone + chance.gauss(0, 0.012),
            "accuracy": min(1.0, 0.5 + 0.34 * gone + chance.gauss(0, 0.02)),
            "margin": 1.4 * gone + chance.gauss(0, 0.05),
        }
        if step % 6 == 0:
            row["heldout_accuracy"] = 0.5 + 0.24 * gone
            row["heldout_loss"] = 0.693 - 0.2 * gone
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")
