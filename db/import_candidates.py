"""Finds or makes the prompts, personas, adapters and candidates of imported pairs, many at a time.

Candidates are made in an order in which each pair's a gets the smaller id, so that pairs keep the
order that their file gives them. Knows pairs, not files and no comparison.
"""

import json
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import Refused
from db.import_pair_rows import Pair, Side
from db.models import Adapter, AdapterKind, Annotator, Candidate, Persona, Prompt
from db.people import put_annotator

T = TypeVar("T")
CandidateKey = tuple[str, str | None, Side]
CHUNK = 500


class Candidates:
    """The candidates of one import."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._prompts: dict[str, Prompt] = {}
        self._adapters: set[str] = set()
        self._personas: set[str] = set()
        self._candidates: dict[CandidateKey, Candidate] = {}
        self._seeds: set[tuple[int, str | None, str, int | None, str]] = set()
        self._authors: dict[str, int] = {}

    def make(self, pairs: Sequence[Pair]) -> None:
        """Have every candidate of these pairs in the ledger.

        Raises:
            ImportRefused: One has a seed that another text has here, or an author who is another.
        """
        self._find_prompts(pairs)
        self._find_candidates([prompt.id for prompt in self._prompts.values()])
        self._make_prompts(pairs)
        made: list[Candidate] = []
        for key, pair in _ordered(pairs):
            if key not in self._candidates:
                self._candidates[key] = self._new(key, pair)
                made.append(self._candidates[key])
        self._session.add_all(made)
        self._session.flush()
        for pair in pairs:
            for candidate, side in zip(self.of(pair), (pair.a, pair.b), strict=True):
                self.tell_author(candidate, side, pair)

    def of(self, pair: Pair) -> tuple[Candidate, Candidate]:
        """The two candidates of a pair, in the file's order."""
        a, b = keys_of(pair)
        return self._candidates[a], self._candidates[b]

    def persona(self, pair: Pair) -> None:
        """Have the pair's persona in the ledger."""
        if pair.persona is None or pair.persona in self._personas:
            return
        if self._session.get(Persona, pair.persona) is None:
            name = pair.persona_name or pair.persona
            self._session.add(Persona(slug=pair.persona, name=name[:120]))
            self._session.flush()
        self._personas.add(pair.persona)

    def tell_author(self, candidate: Candidate, side: Side, pair: Pair) -> None:
        """Say who wrote a candidate, where nobody said so yet.

        Raises:
            ImportRefused: Somebody else wrote it, or the name is an annotator of no use.
        """
        if side.author is None:
            return
        which = "author_a" if side is pair.a else "author_b"
        author = self._author(side.author, which, pair)
        if candidate.author_id not in {None, author}:
            there = self._session.get_one(Annotator, candidate.author_id).name
            raise pair.refuse(which, f"{there!r} wrote this text here, not {side.author!r}")
        candidate.author_id = author

    def _new(self, key: CandidateKey, pair: Pair) -> Candidate:
        digest, persona, side = key
        prompt = self._prompts[digest]
        self.persona(pair)
        self._adapter(side, pair)
        if side.seed is not None and (prompt.id, persona, *_seeded(side)) in self._seeds:
            raise pair.refuse(
                "seed_a" if side is pair.a else "seed_b",
                f"{side.adapter} has another text for seed {side.seed} of this prompt here;"
                " import into a ledger of its own",
            )
        self._seeds.add((prompt.id, persona, *_seeded(side)))
        return Candidate(
            prompt_id=prompt.id,
            persona_slug=persona,
            adapter_id=side.adapter,
            text=side.text,
            sampling=json.loads(side.sampling),
            seed=side.seed,
            stop_reason=side.stop_reason,
            source=side.source,
        )

    def _find_prompts(self, pairs: Iterable[Pair]) -> None:
        wanted = dict.fromkeys(pair.prompt for pair in pairs)
        for some in chunks(list(wanted)):
            for prompt in self._session.scalars(select(Prompt).where(Prompt.sha256.in_(some))):
                self._prompts[prompt.sha256] = prompt

    def _make_prompts(self, pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            if pair.prompt in self._prompts:
                continue
            made = Prompt(
                sha256=pair.prompt,
                messages=json.loads(pair.messages),
                split=pair.prompt_split,
                source=pair.prompt_source[:120],
            )
            self._session.add(made)
            self._prompts[pair.prompt] = made
        self._session.flush()

    def _find_candidates(self, prompts: Sequence[int]) -> None:
        query = (
            select(Candidate, Adapter.kind, Prompt.sha256)
            .join(Adapter, Adapter.id == Candidate.adapter_id)
            .join(Prompt, Prompt.id == Candidate.prompt_id)
            .order_by(Candidate.id)
        )
        for some in chunks(prompts):
            rows = self._session.execute(query.where(Candidate.prompt_id.in_(some))).tuples()
            for candidate, kind, digest in rows:
                side = _side_of(candidate, kind)
                self._candidates.setdefault((digest, candidate.persona_slug, side), candidate)
                self._seeds.add((candidate.prompt_id, candidate.persona_slug, *_seeded(side)))

    def _adapter(self, side: Side, pair: Pair) -> None:
        if side.adapter in self._adapters:
            return
        if self._session.get(Adapter, side.adapter) is None:
            persona = None if side.kind is AdapterKind.EXTERNAL else pair.persona
            self._session.add(Adapter(id=side.adapter, kind=side.kind, persona_slug=persona))
            self._session.flush()
        self._adapters.add(side.adapter)

    def _author(self, name: str, which: str, pair: Pair) -> int:
        name = name.strip()
        if name not in self._authors:
            query = select(Annotator.id).where(Annotator.name == name)
            known = self._session.scalar(query)
            if known is None:
                try:
                    known = put_annotator(self._session, name).id
                except Refused as error:
                    raise pair.refuse(which, str(error)) from None
            self._authors[name] = known
        return self._authors[name]


def keys_of(pair: Pair) -> tuple[CandidateKey, CandidateKey]:
    """What the two candidates of a pair are told apart by."""
    return (pair.prompt, pair.persona, pair.a), (pair.prompt, pair.persona, pair.b)


def chunks(values: Sequence[T]) -> list[Sequence[T]]:
    """The values in parts that one statement can take."""
    return [values[at : at + CHUNK] for at in range(0, len(values), CHUNK)]


def _side_of(candidate: Candidate, kind: AdapterKind) -> Side:
    sampling: Any = candidate.sampling
    return Side(
        adapter=candidate.adapter_id,
        kind=kind,
        text=candidate.text,
        seed=candidate.seed,
        source=candidate.source,
        stop_reason=candidate.stop_reason,
        sampling=json.dumps(sampling, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
    )


def _seeded(side: Side) -> tuple[str, int | None, str]:
    """What a candidate is told apart by, with its prompt and persona."""
    return side.adapter, side.seed, side.source


def _ordered(pairs: Iterable[Pair]) -> list[tuple[CandidateKey, Pair]]:
    """Candidates in an order in which every pair's a comes before its b, where there is one."""
    told: dict[CandidateKey, Pair] = {}
    before: dict[CandidateKey, set[CandidateKey]] = {}
    for pair in pairs:
        a, b = keys_of(pair)
        told.setdefault(a, pair)
        told.setdefault(b, pair)
        before.setdefault(a, set())
        before.setdefault(b, set()).add(a)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:
        order = list(told)
    return [(key, told[key]) for key in order]
