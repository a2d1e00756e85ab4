"""Label and blind batches: candidates made, stored and asked, each exactly once.

Knows the ledger and candidates. Does not know judgments or training. Candidates are stored as they
come; a batch appears with all its comparisons in one transaction, so that whatever dies in between
is simply done again.
"""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, batches
from db.candidates import nearly_same, put_candidate
from db.models import Adapter, Batch, BatchKind, Candidate, Comparison, Prompt
from db.prompts import prompts as prompts_of
from training.adapters import find_adapter, read_card
from training.candidates import (
    CandidateConfig,
    Completion,
    Progress,
    choose_pair,
    request_seed,
    sample_candidates,
)
from training.datums import Encoder
from training.errors import TooLittleData
from training.personas import persona_of
from training.service import Service

Sessions = sessionmaker[Session]
CHUNK = 32
"""Prompts whose candidates are stored in one transaction."""


@dataclass(frozen=True)
class Made:
    """A batch and what was left out of it.

    Attributes:
        batch_id: the batch.
        comparisons: how many it has.
        alike: prompts whose responses were too alike to ask.
        too_long: prompts that leave the model no room to answer.
    """

    batch_id: int
    comparisons: int
    alike: int
    too_long: int = 0


class BatchMaker:
    """Makes batches for one persona on one service."""

    def __init__(
        self,
        sessions: Sessions,
        service: Service,
        persona: str,
        config: CandidateConfig,
        progress: Progress = lambda stage, share: None,
    ):
        """Load the persona and its encoder."""
        self.sessions = sessions
        self.service = service
        self.persona = persona
        self.config = config
        self.progress = progress
        self.encoder = Encoder(service, persona_of(persona))

    def label_batch(self, name: str, adapter_id: str, wanted: int | None = None) -> Made:
        """A batch of comparisons of the adapter with itself, made or found by its name.

        Of several samples a prompt the two that differ most are asked. Prompts that were asked
        least so far come first.

        Args:
            name: unique.
            adapter_id: who answers.
            wanted: comparisons; None for the configuration's number.

        Raises:
            TooLittleData: the ledger has no prompts for it.
        """
        found = self._found(name)
        if found is not None:
            return found
        wanted = wanted or self.config.label_comparisons
        with self.sessions.begin() as session:
            prompts = self._least_asked(session, name)
        if not prompts:
            raise TooLittleData(
                "the ledger has no prompts to answer; `personaloop init --sample` loads the "
                "shipped ones, `personaloop import prompts FILE` your own"
            )
        chosen: list[tuple[Candidate, Candidate]] = []
        alike = taken = too_long = 0
        while len(chosen) < wanted and taken < len(prompts) * 3:
            # Once every prompt was taken they are taken again, with other samples.
            turn, place = divmod(taken, len(prompts))
            take = prompts[place : place + max(8, wanted - len(chosen))]
            taken += len(take)
            done = len(chosen) / wanted
            made = self._candidates(
                self.config,
                take,
                adapter_id,
                f"{name}:{turn}",
                self.config.samples,
                1.0 - done,
                done,
            )
            for candidates in made:
                pair = choose_pair([one.text for one in candidates], self.config.nearly)
                if not candidates:
                    too_long += 1
                elif pair is None:
                    alike += 1
                elif len(chosen) < wanted:
                    chosen.append((candidates[pair[0]], candidates[pair[1]]))
        return self._ask(name, BatchKind.LABEL, chosen, alike, too_long, priority=0)

    def blind_batch(
        self,
        name: str,
        challenger: str,
        incumbent: str,
        wanted: int | None = None,
        *,
        overlap: int | None = None,
        priority: int = 10,
    ) -> Made:
        """A batch of blind comparisons of two adapters on held-out prompts, made or found.

        Each answers each prompt once (again with other samples where more comparisons are wanted
        than there are prompts), at the temperature at which customers are answered. Responses that
        are word for word alike cannot be told apart and are left out.

        Raises:
            TooLittleData: the ledger has no held-out prompts.
        """
        found = self._found(name)
        if found is not None:
            return found
        wanted = wanted or self.config.blind_comparisons
        with self.sessions.begin() as session:
            prompts = prompts_of(session, split="heldout")
        if not prompts:
            raise TooLittleData(
                "the ledger has no held-out prompts to compare on; `personaloop init --sample` "
                "loads the shipped ones"
            )
        random.Random("heldout").shuffle(prompts)
        take = [prompts[place % len(prompts)] for place in range(wanted)]
        answering = replace(self.config, temperature=self.config.blind_temperature)
        sides: dict[str, list[Candidate | None]] = {}
        for number, adapter_id in enumerate((challenger, incumbent)):
            sides[adapter_id] = []
            for start in range(0, len(take), len(prompts)):
                part = take[start : start + len(prompts)]
                purpose = f"blind:{start // len(prompts)}"
                made = self._candidates(answering, part, adapter_id, purpose, 1, 0.5, number / 2)
                sides[adapter_id] += [candidates[0] if candidates else None for candidates in made]
        pairs, alike, too_long = [], 0, 0
        for one, other in zip(sides[challenger], sides[incumbent], strict=True):
            if one is None or other is None:
                too_long += 1
            elif not (one.text.strip() or other.text.strip()) or nearly_same(
                one.text, other.text, threshold=0.999
            ):
                alike += 1
            else:
                pairs.append((one, other))
        return self._ask(
            name, BatchKind.BLIND, pairs, alike, too_long, priority=priority, overlap=overlap
        )

    def _found(self, name: str) -> Made | None:
        with self.sessions.begin() as session:
            batch = session.scalar(select(Batch).where(Batch.name == name))
            if batch is None:
                return None
            count = session.scalar(
                select(func.count()).select_from(Comparison).where(Comparison.batch_id == batch.id)
            )
            return Made(batch.id, int(count or 0), 0)

    def _least_asked(self, session: Session, name: str) -> list[Prompt]:
        """Loop prompts by how often this persona's comparisons asked them, then shuffled."""
        asked = dict(
            session.execute(
                select(Comparison.prompt_id, func.count())
                .join(Batch, Batch.id == Comparison.batch_id)
                .where(Comparison.persona_slug == self.persona, Batch.kind == BatchKind.LABEL)
                .group_by(Comparison.prompt_id)
            )
            .tuples()
            .all()
        )
        order = prompts_of(session, split="loop")
        random.Random(f"{self.config.seed}:{name}").shuffle(order)
        return sorted(order, key=lambda prompt: asked.get(prompt.id, 0))

    def _candidates(
        self,
        config: CandidateConfig,
        prompts: Sequence[Prompt],
        adapter_id: str,
        purpose: str,
        samples: int,
        share: float,
        before: float = 0.0,
    ) -> list[list[Candidate]]:
        """Candidates of each prompt, found where they are stored already, else sampled now."""
        with self.sessions.begin() as session:
            stored = self._stored(session, config, prompts, adapter_id, purpose, samples)
            adapter = adapters.adapter(session, adapter_id)
            _, model_path = self.service.paths(card_of(adapter))
        missing = [prompt for prompt in prompts if prompt.id not in stored]
        sampled = sample_candidates(
            self.service.sampler(model_path),
            self.encoder,
            [(prompt.sha256, prompt.messages) for prompt in missing],
            adapter_id,
            config,
            purpose=purpose,
            samples=samples,
            progress=lambda stage, done: self.progress(stage, before + share * done),
        )
        for part in _chunks(zip(missing, sampled, strict=True)):
            with self.sessions.begin() as session:
                for prompt, completions in part:
                    stored[prompt.id] = [
                        self._put(session, config, prompt, adapter_id, one) for one in completions
                    ]
        return [stored[prompt.id] for prompt in prompts]

    def _stored(
        self,
        session: Session,
        config: CandidateConfig,
        prompts: Sequence[Prompt],
        adapter_id: str,
        purpose: str,
        samples: int,
    ) -> dict[int, list[Candidate]]:
        """By prompt id, the candidates of prompts that have all of theirs in the ledger.

        An incumbent answered the same prompts when it was a challenger, and a killed job had begun.
        """
        wanted: dict[int, list[int]] = {}
        for prompt in prompts:
            first = request_seed(config, adapter_id, prompt.sha256, purpose)
            wanted[prompt.id] = [first + number for number in range(samples)]
        known: dict[tuple[int, int | None], Candidate] = {}
        for part in _chunks(wanted):
            query = select(Candidate).where(
                Candidate.prompt_id.in_(part),
                Candidate.persona_slug == self.persona,
                Candidate.adapter_id == adapter_id,
                Candidate.source == "generated",
                Candidate.seed.in_([seed for prompt in part for seed in wanted[prompt]]),
            )
            known.update({(one.prompt_id, one.seed): one for one in session.scalars(query)})
        return {
            prompt: [known[prompt, seed] for seed in several]
            for prompt, several in wanted.items()
            if all((prompt, seed) in known for seed in several)
        }

    def _put(
        self,
        session: Session,
        config: CandidateConfig,
        prompt: Prompt,
        adapter_id: str,
        one: Completion,
    ) -> Candidate:
        return put_candidate(
            session,
            prompt_id=prompt.id,
            persona=self.persona,
            adapter_id=adapter_id,
            text=one.text,
            sampling=config.sampling(),
            seed=one.seed,
            tokens=one.tokens,
            logprobs=one.logprobs,
            stop_reason=one.stop_reason,
        )

    def _ask(
        self,
        name: str,
        kind: BatchKind,
        pairs: Sequence[tuple[Candidate, Candidate]],
        alike: int,
        too_long: int,
        *,
        priority: int,
        overlap: int | None = None,
    ) -> Made:
        """Open the batch with all its comparisons, or not at all."""
        if not pairs and too_long and not alike:
            raise TooLittleData(
                f"all {too_long} prompts are too long for the model, whose context is "
                f"{self.service.context} tokens; import shorter ones"
            )
        if not pairs:
            raise TooLittleData(
                f"no pair of responses differs enough to ask ({alike} were alike); raise the "
                "sampling temperature"
            )
        with self.sessions.begin() as session:
            batch = batches.open_batch(
                session,
                name=name,
                kind=kind,
                persona=self.persona,
                overlap=overlap or self.config.overlap,
                priority=priority,
            )
            for one, other in _shuffled(pairs, name):
                batches.put_comparison(session, batch, one, other)
            return Made(batch.id, len(pairs), alike, too_long)


def batch_name(text: str) -> str:
    """The text as a batch's name: where it is too long, cut and made unique by its hash."""
    if len(text) <= 160:
        return text
    return f"{text[:147]} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def card_of(adapter: Adapter) -> Any:
    """The card of an adapter that the ledger knows, from its folder."""
    return read_card(find_adapter(adapter.persona_slug or "", adapter.id))


def _shuffled(pairs: Sequence[Any], name: str) -> list[Any]:
    order = list(pairs)
    random.Random(hashlib.sha256(name.encode()).hexdigest()).shuffle(order)
    return order


def _chunks(items: Iterable[Any]) -> Iterable[list[Any]]:
    part: list[Any] = []
    for item in items:
        part.append(item)
        if len(part) == CHUNK:
            yield part
            part = []
    if part:
        yield part
