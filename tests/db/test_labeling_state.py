"""Whatever several annotators do in whatever order, the queue's invariants hold."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import filling
import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db import labeling
from db.doctor import examine
from db.errors import AlreadyJudged, LeaseLost, Refused, TooSoon
from db.models import Assignment, Comparison, Judgment, Retraction
from db.session import close_database, sessions, upgrade

PEOPLE = ("ann", "bob", "cid")
WHO = st.integers(0, len(PEOPLE) - 1)
PAIRS, OVERLAP, EXTRA = 3, 2, 1


class Labeling(RuleBasedStateMachine):
    """Annotators claim, judge, skip, undo, revise, let go and wait; a model follows along."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'ledger.db'}"
        upgrade(self.url)
        self.make = sessions(self.url)
        self.now = datetime(2026, 1, 1, 8, tzinfo=UTC)
        with self.make.begin() as session:
            filling.persona(session)
            filling.batch(session, pairs=PAIRS, overlap=OVERLAP).extra_overlap = EXTRA
            self.people = filling.crowd(session, PEOPLE)
        self.tokens: list[tuple[int, str]] = []
        self.placements: dict[tuple[int, int], int] = {}
        self.judged: dict[str, int] = {}

    def teardown(self) -> None:
        bad = [each.text for each in examine(self.url) if not each.ok]
        close_database(self.url)
        self.folder.cleanup()
        assert not bad

    def _seen(self, who: int, shown: labeling.Shown) -> None:
        self.tokens.append((who, shown.token))
        kept = self.placements.setdefault((who, shown.comparison_id), shown.placement)
        assert kept == shown.placement, "a pair changed sides for the same annotator"

    @rule(who=WHO)
    def claim(self, who: int) -> None:
        with self.make.begin() as session:
            shown = labeling.claim(session, self.people[who], now=self.now)
            if shown is not None:
                self._seen(who, shown)
            else:
                assert self._free_for(session, who) == 0, "starved: a pair is free, none was given"

    @rule(who=WHO, verdict=st.sampled_from(["a", "b", "tie", "both_bad"]), data=st.data())
    @precondition(lambda self: self.tokens)
    def judge(self, who: int, verdict: str, data: st.DataObject) -> None:
        owner, token = data.draw(st.sampled_from(self.tokens))
        try:
            with self.make.begin() as session:
                made = labeling.judge(
                    session, token, self.people[who], verdict, now=self.now, min_dwell=False
                )
        except AlreadyJudged:
            assert token in self.judged
        except (LeaseLost, TooSoon, Refused):
            assert token not in self.judged or owner != who
        else:
            assert owner == who and token not in self.judged
            self.judged[token] = made.id

    @rule(data=st.data())
    @precondition(lambda self: self.tokens)
    def skip(self, data: st.DataObject) -> None:
        owner, token = data.draw(st.sampled_from(self.tokens))
        try:
            with self.make.begin() as session:
                labeling.skip(session, token, self.people[owner], "hard")
        except AlreadyJudged:
            assert token in self.judged

    @rule(data=st.data())
    @precondition(lambda self: self.tokens)
    def release(self, data: st.DataObject) -> None:
        owner, token = data.draw(st.sampled_from(self.tokens))
        with self.make.begin() as session:
            labeling.release(session, token, self.people[owner])

    @rule(who=WHO)
    def undo(self, who: int) -> None:
        try:
            with self.make.begin() as session:
                before = self._standing(session, who)
                shown = labeling.undo(session, self.people[who], now=self.now)
                assert self._standing(session, who) == before - 1
        except Refused:
            return
        self._seen(who, shown)

    @rule(who=WHO, data=st.data())
    @precondition(lambda self: self.judged)
    def revise(self, who: int, data: st.DataObject) -> None:
        judgment = data.draw(st.sampled_from(sorted(self.judged.values())))
        try:
            with self.make.begin() as session:
                before = self._standing(session, who)
                shown = labeling.revise(session, self.people[who], judgment, now=self.now)
                assert self._standing(session, who) == before
        except Refused:
            return
        self._seen(who, shown)

    @rule(minutes=st.integers(1, 40))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    def _standing(self, session: Session, who: int) -> int:
        query = (
            select(func.count(Judgment.id))
            .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
            .where(Judgment.annotator_id == self.people[who], Retraction.judgment_id.is_(None))
        )
        return session.scalar(query) or 0

    def _free_for(self, session: Session, who: int) -> int:
        mine = select(Assignment.comparison_id).where(
            Assignment.annotator_id == self.people[who],
            Assignment.state.in_(["judged", "skipped", "leased"]),
        )
        query = select(func.count(Comparison.id)).where(
            Comparison.seats > 0, Comparison.id.not_in(mine)
        )
        return session.scalar(query) or 0

    def _as_many_as_disagree(self, session: Session) -> None:
        """Every pair wants what its standing verdicts call for, or what is in hand already."""
        for each in session.scalars(select(Comparison)):
            said = session.scalars(
                select(Judgment.verdict)
                .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
                .where(Judgment.comparison_id == each.id, Retraction.judgment_id.is_(None))
            ).all()
            winners = {v.value if v.value in {"a", "b"} else "none" for v in said}
            split = len(said) >= OVERLAP and len(winners) > 1
            taken = each.overlap - each.seats
            assert each.overlap == max(OVERLAP + EXTRA * split, taken)

    @invariant()
    def nothing_is_lost_doubled_or_over_assigned(self) -> None:
        with self.make() as session:
            held = "SELECT count(*) FROM assignment WHERE comparison_id = comparison.id AND seat"
            wrong = session.scalar(
                text(f"SELECT count(*) FROM comparison WHERE seats <> overlap - ({held})")
            )
            assert wrong == 0
            doubled = session.execute(
                text(
                    "SELECT count(*) FROM judgment LEFT JOIN retraction"
                    " ON retraction.judgment_id = judgment.id WHERE retraction.judgment_id IS NULL"
                    " GROUP BY comparison_id, annotator_id HAVING count(*) > 1"
                )
            ).all()
            assert doubled == []
            most = session.scalar(
                text(
                    "SELECT max(n) FROM (SELECT count(*) AS n FROM judgment LEFT JOIN retraction"
                    " ON retraction.judgment_id = judgment.id WHERE retraction.judgment_id IS NULL"
                    " GROUP BY comparison_id)"
                )
            )
            assert (most or 0) <= OVERLAP + EXTRA
            self._as_many_as_disagree(session)
            leases = session.execute(
                text(
                    "SELECT count(*) FROM assignment WHERE state = 'leased'"
                    " GROUP BY annotator_id HAVING count(*) > 1"
                )
            ).all()
            assert leases == []
            assert session.scalar(select(func.count(Judgment.id))) == len(self.judged)


Labeling.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLabelingState = Labeling.TestCase
