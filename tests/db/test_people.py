"""Accounts and invitations, on both databases."""

from datetime import timedelta

import filling
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import labeling, people
from db.clock import utcnow
from db.errors import NotFound, Refused
from db.models import Comparison, Invite, Login

Make = sessionmaker[Session]


def test_an_invitation_signs_in_once(make: Make) -> None:
    with make.begin() as session:
        token = people.invite(session, "Ann", "analyst")
    with make.begin() as session:
        login = people.redeem(session, token)
    with pytest.raises(Refused, match="used already"), make.begin() as session:
        people.redeem(session, token)
    with make() as session:
        found = people.who(session, login)
        assert found is not None and (found.name, found.role) == ("Ann", "analyst")
        assert people.who(session, token) is None and people.who(session, "") is None


def test_an_old_or_made_up_invitation_signs_nobody_in(make: Make) -> None:
    with make.begin() as session:
        token = people.invite(session, "Ann", "admin", valid=timedelta(days=1))
        with pytest.raises(Refused, match="run out"):
            people.redeem(session, token, now=utcnow() + timedelta(days=2))
        with pytest.raises(Refused, match="not valid"):
            people.redeem(session, "made up")


def test_tokens_themselves_are_not_in_the_ledger(make: Make) -> None:
    with make.begin() as session:
        token = people.invite(session, "Ann", "admin")
        login = people.redeem(session, token)
        kept = {session.scalars(select(Invite.token_sha256)).one()}
        kept.add(session.scalars(select(Login.token_sha256)).one())
    assert not kept & {token, login} and all(len(each) == 64 for each in kept)


def test_switching_off_works_at_once_and_frees_the_pair(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=1)
        login = people.redeem(session, people.invite(session, "Ann", "evaluator"))
        ann = people.who(session, login)
        assert ann is not None and labeling.claim(session, ann.id) is not None
    with make.begin() as session:
        people.set_active(session, "Ann", False)
        assert people.who(session, login) is None
        assert session.scalars(select(Comparison.seats)).one() == 1
        with pytest.raises(Refused, match="switched off"):
            people.invite(session, "Ann", "evaluator")
        people.set_active(session, "Ann", True)
        assert people.who(session, login) is not None


def test_signing_out_ends_the_login_and_frees_the_pair(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=1)
        login = people.redeem(session, people.invite(session, "Ann", "evaluator"))
        ann = people.who(session, login)
        assert ann is not None
        labeling.claim(session, ann.id)
        for _ in range(2):
            people.sign_out(session, login)
        assert people.who(session, login) is None
        assert session.scalars(select(Comparison.seats)).one() == 1


def test_a_login_runs_out(make: Make) -> None:
    with make.begin() as session:
        login = people.redeem(session, people.invite(session, "Ann", "evaluator"))
        assert people.who(session, login, now=utcnow() + timedelta(days=31)) is None


def test_names_are_one_account_each(make: Make) -> None:
    with make.begin() as session:
        first = people.put_annotator(session, " Ann ")
        assert people.put_annotator(session, "Ann").id == first.id
        with pytest.raises(Refused, match="human annotator"):
            people.put_annotator(session, "Ann", kind="simulated")
        for bad in ("", " ", "x" * 121):
            with pytest.raises(Refused, match="1 to 120"):
                people.put_annotator(session, bad)
        with pytest.raises(NotFound, match="nobody called"):
            people.set_role(session, "Bob", "admin")
        assert [each.name for each in people.people(session)] == ["Ann"]
