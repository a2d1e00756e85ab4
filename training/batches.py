"""Label and blind batches: candidates made, stored and asked, each exactly once.

Knows the ledger and which candidates are worth comparing. Does not know judgments or training. A
batch appears with all its comparisons in one transaction, so that whatever dies in between
is simply done again.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from db import batches
from db.candidates import nearly_same
from db.models import Batch, BatchKind, Candidate, Comparison, Prompt
from db.prompts import prompts as prompts_of
from training.candidates import CandidateConfig, Progress, choose_pair
from training.errors import TooLittleData
from training.responses import Responses
from training.service import Service

Sessions = sessionmaker[Session]
AGAIN = 3
"""How often all held-out prompts are taken again in search of pairs that differ."""


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
        self.responses = Responses(sessions, service, persona, progress)

    def label_batch(self, name: str, adapter_id: str, wanted: int | None = None) -> Made:
        """A batch of comparisons of the adapter with itself, made or found by its name.

        Of several samples a prompt the two that say the same in the most different manner are
        asked. Prompts that were asked least so far come first.

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
            made = self.responses.of(
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
        pairs, alike, too_long = self._blind_pairs(challenger, incumbent, prompts, 0, wanted)
        return self._ask(
            name, BatchKind.BLIND, pairs, alike, too_long, priority=priority, overlap=overlap
        )

    def more_blind(self, batch_id: int, challenger: str, incumbent: str, more: int) -> int:
        """Add pairs to a blind batch: on prompts not yet asked, then on all again, other samples.

        Args:
            batch_id: the batch.
            challenger: adapter id.
            incumbent: adapter id.
            more: pairs to add.

        Returns:
            How many were added; fewer where no more pairs differ.
        """
        with self.sessions.begin() as session:
            prompts = prompts_of(session, split="heldout")
            asked = select(Comparison).where(Comparison.batch_id == batch_id)
            known = {
                frozenset((one.candidate_a.text, one.candidate_b.text))
                for one in session.scalars(asked)
            }
        random.Random("heldout").shuffle(prompts)
        chosen: list[tuple[Candidate, Candidate]] = []
        start, end = 0, len(known) + more + AGAIN * len(prompts)
        while len(chosen) < more and start < end:
            stop = min(start + more + (0 if start else len(known)), end)
            pairs, _, _ = self._blind_pairs(challenger, incumbent, prompts, start, stop)
            for pair in pairs:
                texts = frozenset(one.text for one in pair)
                if texts not in known and len(chosen) < more:
                    chosen.append(pair)
                    known.add(texts)
            start = stop
        with self.sessions.begin() as session:
            batch = batches.batch(session, batch_id)
            for one, other in _shuffled(chosen, f"{batch.name} {len(known)}"):
                batches.put_comparison(session, batch, one, other)
        return len(chosen)

    def _blind_pairs(
        self, challenger: str, incumbent: str, prompts: Sequence[Prompt], start: int, stop: int
    ) -> tuple[list[tuple[Candidate, Candidate]], int, int]:
        """Pairs of places ``start`` to ``stop`` of the prompts taken again and again.

        Returns:
            (pairs, how many were too alike, how many prompts were too long).
        """
        answering = replace(self.config, temperature=self.config.blind_temperature)
        sides: list[list[Candidate | None]] = []
        for number, adapter_id in enumerate((challenger, incumbent)):
            side: list[Candidate | None] = []
            place = start
            while place < stop:
                turn, first = divmod(place, len(prompts))
                part = prompts[first : first + stop - place]
                made = self.responses.of(
                    answering, part, adapter_id, f"blind:{turn}", 1, 0.5, number / 2
                )
                side += [candidates[0] if candidates else None for candidates in made]
                place += len(part)
            sides.append(side)
        pairs, alike, too_long = [], 0, 0
        for one, other in zip(*sides, strict=True):
            if one is None or other is None:
                too_long += 1
            elif not (one.text.strip() or other.text.strip()) or nearly_same(
                one.text, other.text, threshold=0.999
            ):
                alike += 1
            else:
                pairs.append((one, other))
        return pairs, alike, too_long

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


def _shuffled(pairs: Sequence[Any], name: str) -> list[Any]:
    order = list(pairs)
    random.Random(hashlib.sha256(name.encode()).hexdigest()).shuffle(order)
    return order
