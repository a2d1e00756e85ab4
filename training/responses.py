"""An adapter's responses to prompts: found in the ledger, else sampled now and stored.

Knows seeds, samples and the ledger's candidates. Does not know what they are asked for. They are
stored as they come, so that whatever dies in between goes on where it was.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters
from db.candidates import put_candidate
from db.models import Candidate, Prompt
from training.adapters import card_of
from training.candidates import (
    CandidateConfig,
    Completion,
    Progress,
    request_seed,
    sample_candidates,
)
from training.datums import Encoder
from training.personas import persona_of
from training.service import Service

CHUNK = 32
"""Prompts whose candidates are stored in one transaction."""


class Responses:
    """Responses of one persona's adapters on one service."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        service: Service,
        persona: str,
        progress: Progress = lambda stage, share: None,
    ):
        """Load the persona and its encoder."""
        self.sessions = sessions
        self.service = service
        self.persona = persona
        self.progress = progress
        self.encoder = Encoder(service, persona_of(persona))

    def of(
        self,
        config: CandidateConfig,
        prompts: Sequence[Prompt],
        adapter_id: str,
        purpose: str,
        samples: int,
        share: float = 1.0,
        before: float = 0.0,
    ) -> list[list[Candidate]]:
        """Candidates of each prompt, found where they are stored already, else sampled now.

        Args:
            config: how to sample.
            prompts: what is answered; one that leaves no room to answer gets no candidates.
            adapter_id: who answers.
            purpose: what they are for: another purpose, other samples.
            samples: candidates a prompt.
            share: of the whole progress, 0 to 1, that this is.
            before: what was done of it already.
        """
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


def _chunks(items: Iterable[Any]) -> Iterable[list[Any]]:
    part: list[Any] = []
    for item in items:
        part.append(item)
        if len(part) == CHUNK:
            yield part
            part = []
    if part:
        yield part
