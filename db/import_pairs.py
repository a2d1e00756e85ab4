"""Finds or makes the comparisons that imported rows speak of. Knows rows, not files.

A pair of which only names were known gets its texts when a later file tells them; the judgments of
it stay as they are, because the candidates keep their ids and thus their order.
"""

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from db import set_aside
from db.batches import comparison_of, open_batch, set_overlap
from db.errors import Refused
from db.import_candidates import Candidates, chunks
from db.import_pair_rows import Pair
from db.models import Batch, BatchKind, Candidate, Comparison, Prompt

Place = tuple[int, int, int]
"""A batch and two candidates, the smaller id first."""


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
        self._found: dict[Pair, tuple[Comparison, bool]] = {}
        self._new: set[Place] = set()
        self._made: list[tuple[Comparison, tuple[Candidate, Candidate]]] = []
        self.batches: dict[str, Batch] = {}
        self.made_batches: set[str] = set()
        self.added = self.completed = self.hidden = 0
        self.told: list[int] = []
        self._candidates = Candidates(session)
        unique = list(dict.fromkeys(pairs))
        self._find_batches(unique)
        self._by_pair_id = self._load_by_pair_id(unique)
        fresh = [pair for pair in unique if self._existing(pair) is None]
        self._candidates.make(fresh)
        self._there = self._load_by_candidates(fresh)

    def comparison(self, pair: Pair) -> tuple[Comparison, bool]:
        """The comparison of a row, and whether its canonical order is the other way round.

        A new one has its id after ``finish``.

        Raises:
            ImportRefused: The ledger has another pair under this id, or the pair is not usable.
        """
        if pair not in self._found:
            existing = self._existing(pair)
            self._found[pair] = (
                self._make(pair) if existing is None else self._match(pair, existing)
            )
            texts = (
                (pair.a.text, pair.b.text)
                if existing is None
                else (existing.candidate_a.text, existing.candidate_b.text)
            )
            self.hidden += self._shown and not all(text.strip() for text in texts)
        return self._found[pair]

    def finish(self) -> None:
        """Have every comparison in the ledger; set aside what names itself and would be shown."""
        self._session.add_all(made for made, _ in self._made)
        self._session.flush()
        set_aside.check_new(self._session, self._made)

    def _make(self, pair: Pair) -> tuple[Comparison, bool]:
        a, b = self._candidates.of(pair)
        batch = self.batches[pair.batch]
        swapped = a.id > b.id
        place = (batch.id, min(a.id, b.id), max(a.id, b.id))
        found = self._there.get(place)
        if found is not None:
            if place not in self._new:
                self._show(found, batch, pair)
            return found, swapped
        wanted = (self._overlap or batch.overlap) if self._shown else 0
        try:
            made = comparison_of(
                batch, a, b, gold=pair.gold, external_id=pair.pair_id, overlap=wanted
            )
        except Refused as error:
            raise pair.refuse("item_b", f"{error}; remove the row") from None
        self._there[place] = made
        self._new.add(place)
        self._made.append((made, (b, a) if swapped else (a, b)))
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
        for candidate, side in zip((existing.candidate_a, existing.candidate_b), told, strict=True):
            self._candidates.tell_author(candidate, side, pair)
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

    def _find_batches(self, pairs: Sequence[Pair]) -> None:
        first: dict[str, Pair] = {}
        speakers: dict[str, set[str | None]] = {}
        for pair in pairs:
            first.setdefault(pair.batch, pair)
            speakers.setdefault(pair.batch, set()).add(pair.persona)
        for name, pair in first.items():
            only = speakers[name].pop() if len(speakers[name]) == 1 else None
            self.batches[name] = self._batch(pair, only)

    def _batch(self, pair: Pair, persona: str | None) -> Batch:
        if pair.batch_kind is BatchKind.IMPORTED:
            persona = None
        if persona:
            self._candidates.persona(pair)
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
            known.purpose, known.strategy = pair.purpose, pair.strategy
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
        return known

    def _load_by_pair_id(self, pairs: Sequence[Pair]) -> dict[tuple[int, str], Comparison]:
        found: dict[tuple[int, str], Comparison] = {}
        for name, batch in self.batches.items():
            if name in self.made_batches:
                continue
            wanted = {pair.pair_id for pair in pairs if pair.pair_id and pair.batch == name}
            for some in chunks(sorted(wanted)):
                query = (
                    select(Comparison)
                    .where(Comparison.batch_id == batch.id, Comparison.external_id.in_(some))
                    .options(
                        joinedload(Comparison.candidate_a),
                        joinedload(Comparison.candidate_b),
                        joinedload(Comparison.prompt),
                    )
                )
                for each in self._session.scalars(query):
                    found[batch.id, str(each.external_id)] = each
        return found

    def _load_by_candidates(self, pairs: Iterable[Pair]) -> dict[Place, Comparison]:
        """The comparisons that batches known before have of the pairs' candidates."""
        known = [batch.id for name, batch in self.batches.items() if name not in self.made_batches]
        candidates = {each.id for pair in pairs for each in self._candidates.of(pair)}
        found: dict[Place, Comparison] = {}
        for some in chunks(sorted(candidates)) if known else ():
            query = select(Comparison).where(
                Comparison.batch_id.in_(known), Comparison.candidate_a_id.in_(some)
            )
            if self._shown:
                query = query.options(
                    joinedload(Comparison.candidate_a), joinedload(Comparison.candidate_b)
                )
            for each in self._session.scalars(query):
                found[each.batch_id, each.candidate_a_id, each.candidate_b_id] = each
        return found

    def _existing(self, pair: Pair) -> Comparison | None:
        if pair.pair_id is None:
            return None
        return self._by_pair_id.get((self.batches[pair.batch].id, pair.pair_id))
