"""Finds or makes the comparisons that imported rows speak of. Knows rows, not files.

A pair of which only names were known gets its texts when a later file tells them; the judgments of
it stay as they are, because the candidates keep their ids and thus their order.
"""

import json
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db import set_aside
from db.batches import open_batch, put_comparison, set_overlap
from db.errors import Refused
from db.import_rows import Pair, Side
from db.models import (
    Adapter,
    AdapterKind,
    Batch,
    BatchKind,
    Candidate,
    Comparison,
    Persona,
    Prompt,
)

CandidateKey = tuple[str, str | None, Side]


class Pairs:
    """The comparisons of one import.

    Attributes:
        batches: Batches that the rows name, by name.
        made_batches: Names of those that were made now.
        added: Comparisons made.
        completed: Comparisons whose texts came now.
        told: Their ids.
        hidden: Comparisons of this import that are never shown.
    """

    def __init__(
        self, session: Session, pairs: Iterable[Pair], *, overlap: int | None, shown: bool
    ) -> None:
        """Look at all rows first: candidates are made in an order that keeps each row's a and b.

        Args:
            session: The session.
            pairs: Every pair of the import.
            overlap: Judgments wanted a pair; None for the batch's own.
            shown: Whether the pairs are to be asked.
        """
        self._session = session
        self._overlap = overlap
        self._shown = shown
        self._prompts: dict[str, Prompt] = {}
        self._adapters: set[str] = set()
        self._personas: set[str] = set()
        self._candidates: dict[CandidateKey, Candidate] = {}
        self._loaded_prompts: set[int] = set()
        self._seeds: set[tuple[int, str | None, str, int | None, str]] = set()
        self._found: dict[Pair, tuple[Comparison, bool]] = {}
        self.batches: dict[str, Batch] = {}
        self.made_batches: set[str] = set()
        self.added = self.completed = self.hidden = 0
        self.told: list[int] = []
        unique = list(dict.fromkeys(pairs))
        for pair in unique:
            self._batch(pair, unique)
        self._by_pair_id = self._load_by_pair_id(unique)
        fresh = [pair for pair in unique if self._existing(pair) is None]
        for key, pair in _ordered(fresh):
            self._candidate(key, pair)

    def comparison(self, pair: Pair) -> tuple[Comparison, bool]:
        """The comparison of a row, and whether its canonical order is the other way round.

        Raises:
            ImportRefused: The ledger has another pair under this id, or the pair is not usable.
        """
        if pair not in self._found:
            existing = self._existing(pair)
            self._found[pair] = (
                self._make(pair) if existing is None else self._match(pair, existing)
            )
            comparison = self._found[pair][0]
            if self._shown and not (
                comparison.candidate_a.text.strip() and comparison.candidate_b.text.strip()
            ):
                self.hidden += 1
        return self._found[pair]

    def _make(self, pair: Pair) -> tuple[Comparison, bool]:
        a = self._candidate((pair.prompt, pair.persona, pair.a), pair)
        b = self._candidate((pair.prompt, pair.persona, pair.b), pair)
        batch = self.batches[pair.batch]
        low, high = sorted((a.id, b.id))
        found = self._session.scalar(
            select(Comparison).where(
                Comparison.batch_id == batch.id,
                Comparison.candidate_a_id == low,
                Comparison.candidate_b_id == high,
            )
        )
        swapped = a.id > b.id
        if found is not None:
            self._show(found, batch, pair)
            return found, swapped
        wanted = (self._overlap or batch.overlap) if self._shown else 0
        try:
            made = put_comparison(
                self._session,
                batch,
                a,
                b,
                gold=pair.gold,
                external_id=pair.pair_id,
                overlap=wanted,
            )
        except Refused as error:
            raise pair.refuse("item_b", f"{error}; remove the row") from None
        self.added += 1
        return made, swapped

    def _match(self, pair: Pair, existing: Comparison) -> tuple[Comparison, bool]:
        """A comparison known by the importer's id: is it the same pair, and which way round?"""
        adapters = existing.candidate_a.adapter_id, existing.candidate_b.adapter_id
        sides = pair.a.adapter, pair.b.adapter
        if adapters not in {sides, (sides[1], sides[0])}:
            raise pair.refuse(
                "id",
                f"pair {pair.pair_id} of batch {pair.batch!r} is {adapters[0]} against"
                f" {adapters[1]} here, not {sides[0]} against {sides[1]};"
                " import into another batch with --batch",
            )
        swapped = adapters != sides
        if sides[0] == sides[1] and pair.a.text:
            swapped = existing.candidate_a.text not in {"", pair.a.text}
        told = (pair.b, pair.a) if swapped else (pair.a, pair.b)
        filled = False
        for candidate, side in zip((existing.candidate_a, existing.candidate_b), told, strict=True):
            if not side.text or candidate.text == side.text:
                continue
            if candidate.text:
                raise pair.refuse(
                    "text",
                    f"{side.adapter} answered otherwise in the pair {pair.pair_id} that is here"
                    " already; import into another batch with --batch",
                )
            candidate.text = side.text
            filled = True
        if pair.messages != "[]" and existing.prompt.sha256 != pair.prompt:
            if existing.prompt.messages:
                raise pair.refuse(
                    "prompt",
                    f"pair {pair.pair_id} has another conversation here;"
                    " import into another batch with --batch",
                )
            self._tell_prompt(existing.prompt, pair)
            filled = True
        self._session.flush()
        if filled:
            self.completed += 1
            self.told.append(existing.id)
        self._show(existing, self.batches[pair.batch], pair)
        return existing, swapped

    def _show(self, comparison: Comparison, batch: Batch, pair: Pair) -> None:
        """Ask for judgments of a comparison that was known already, where that is wanted."""
        texts = comparison.candidate_a.text.strip(), comparison.candidate_b.text.strip()
        if not self._shown or not all(texts):
            return
        if texts[0] == texts[1]:
            raise pair.refuse("text", "both responses are the same; remove the row")
        wanted = self._overlap or (comparison.overlap or batch.overlap)
        if comparison.overlap != wanted:
            try:
                set_overlap(self._session, comparison, wanted)
            except Refused as error:
                raise pair.refuse("overlap", str(error)) from None
        set_aside.check(self._session, comparison)

    def _tell_prompt(self, unknown: Prompt, pair: Pair) -> None:
        """Give a conversation that was known by name its messages, in place or by moving on."""
        known = self._session.scalar(select(Prompt).where(Prompt.sha256 == pair.prompt))
        if known is None:
            unknown.messages = json.loads(pair.messages)
            unknown.sha256 = pair.prompt
            self._session.flush()
            return
        for table in (Comparison, Candidate):
            self._session.execute(
                update(table)
                .where(table.prompt_id == unknown.id)
                .values(prompt_id=known.id)
                .execution_options(synchronize_session=False)
            )
        self._session.expire_all()

    def _batch(self, pair: Pair, pairs: list[Pair]) -> None:
        if pair.batch in self.batches:
            return
        speakers = {each.persona for each in pairs if each.batch == pair.batch}
        persona = speakers.pop() if len(speakers) == 1 else None
        if pair.batch_kind is BatchKind.IMPORTED:
            persona = None
        if persona:
            self._persona(pair)
        known = self._session.scalar(select(Batch).where(Batch.name == pair.batch))
        if known is None:
            known = open_batch(
                self._session,
                name=pair.batch,
                kind=pair.batch_kind,
                persona=persona,
                overlap=self._overlap or 1,
                round_number=pair.round_number,
            )
            known.purpose = pair.purpose
            self._session.flush()
            self.made_batches.add(pair.batch)
        elif known.kind is not pair.batch_kind:
            raise pair.refuse(
                "batch",
                f"{pair.batch!r} is a {known.kind.value} batch here, not"
                f" {pair.batch_kind.value}; choose another name with --batch",
            )
        elif self._shown and self._overlap:
            known.overlap = self._overlap
        self.batches[pair.batch] = known

    def _load_by_pair_id(self, pairs: list[Pair]) -> dict[tuple[int, str], Comparison]:
        found: dict[tuple[int, str], Comparison] = {}
        if any(pair.pair_id for pair in pairs):
            for batch in self.batches.values():
                query = select(Comparison).where(
                    Comparison.batch_id == batch.id, Comparison.external_id.is_not(None)
                )
                for each in self._session.scalars(query):
                    found[batch.id, str(each.external_id)] = each
        return found

    def _existing(self, pair: Pair) -> Comparison | None:
        if pair.pair_id is None:
            return None
        return self._by_pair_id.get((self.batches[pair.batch].id, pair.pair_id))

    def _candidate(self, key: CandidateKey, pair: Pair) -> Candidate:
        if key in self._candidates:
            return self._candidates[key]
        _, persona, side = key
        prompt = self._prompt(pair)
        if prompt.id not in self._loaded_prompts:
            self._load_candidates(prompt)
        if key not in self._candidates:
            self._persona(pair)
            self._adapter(side, pair)
            if side.seed is not None and (prompt.id, persona, *_seeded(side)) in self._seeds:
                which = "seed_a" if side is pair.a else "seed_b"
                raise pair.refuse(
                    which,
                    f"{side.adapter} has another text for seed {side.seed} of this prompt here;"
                    " import into a ledger of its own",
                )
            made = Candidate(
                prompt_id=prompt.id,
                persona_slug=persona,
                adapter_id=side.adapter,
                text=side.text,
                sampling=json.loads(side.sampling),
                seed=side.seed,
                stop_reason=side.stop_reason,
                source=side.source,
            )
            self._session.add(made)
            self._session.flush()
            self._candidates[key] = made
        return self._candidates[key]

    def _load_candidates(self, prompt: Prompt) -> None:
        self._loaded_prompts.add(prompt.id)
        query = (
            select(Candidate, Adapter.kind)
            .join(Adapter, Adapter.id == Candidate.adapter_id)
            .where(Candidate.prompt_id == prompt.id)
            .order_by(Candidate.id)
        )
        for candidate, kind in self._session.execute(query).tuples():
            side = Side(
                adapter=candidate.adapter_id,
                kind=kind,
                text=candidate.text,
                seed=candidate.seed,
                source=candidate.source,
                stop_reason=candidate.stop_reason,
                sampling=json.dumps(
                    candidate.sampling, ensure_ascii=False, sort_keys=True, separators=(",", ":")
                ),
            )
            self._candidates.setdefault((prompt.sha256, candidate.persona_slug, side), candidate)
            self._seeds.add((prompt.id, candidate.persona_slug, *_seeded(side)))

    def _prompt(self, pair: Pair) -> Prompt:
        if pair.prompt not in self._prompts:
            known = self._session.scalar(select(Prompt).where(Prompt.sha256 == pair.prompt))
            if known is None:
                known = Prompt(
                    sha256=pair.prompt,
                    messages=json.loads(pair.messages),
                    split=pair.prompt_split,
                    source=pair.prompt_source[:120],
                )
                self._session.add(known)
                self._session.flush()
            self._prompts[pair.prompt] = known
        return self._prompts[pair.prompt]

    def _adapter(self, side: Side, pair: Pair) -> None:
        if side.adapter in self._adapters:
            return
        if self._session.get(Adapter, side.adapter) is None:
            external = side.kind is AdapterKind.EXTERNAL
            persona = None if external else pair.persona
            self._session.add(Adapter(id=side.adapter, kind=side.kind, persona_slug=persona))
            self._session.flush()
        self._adapters.add(side.adapter)

    def _persona(self, pair: Pair) -> None:
        if pair.persona is None or pair.persona in self._personas:
            return
        if self._session.get(Persona, pair.persona) is None:
            name = pair.persona_name or pair.persona
            self._session.add(Persona(slug=pair.persona, name=name[:120]))
            self._session.flush()
        self._personas.add(pair.persona)


def _seeded(side: Side) -> tuple[str, int | None, str]:
    """What a candidate is told apart by, with its prompt and persona."""
    return side.adapter, side.seed, side.source


def _ordered(pairs: list[Pair]) -> list[tuple[CandidateKey, Pair]]:
    """Candidates in an order in which every pair's a comes before its b, where there is one."""
    told: dict[CandidateKey, Pair] = {}
    before: dict[CandidateKey, set[CandidateKey]] = {}
    for pair in pairs:
        a = (pair.prompt, pair.persona, pair.a)
        b = (pair.prompt, pair.persona, pair.b)
        told.setdefault(a, pair)
        told.setdefault(b, pair)
        before.setdefault(a, set())
        before.setdefault(b, set()).add(a)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:
        order = list(told)
    return [(key, told[key]) for key in order]
