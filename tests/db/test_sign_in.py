"""Passwords, guessing, accounts at a provider, links and logins, on both databases."""

import threading
from datetime import timedelta

import filling
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from db import identities, invites, labeling, logins, passwords, people, sign_in_tries
from db.clock import utcnow
from db.errors import NotFound, Refused, TooManyTries, WrongPassword
from db.identities import claims_of
from db.models import Annotator, Comparison, Identity, Invite, Login, Password, SignInTry
from db.ways_in import ways_in

Make = sessionmaker[Session]
GOOD = "four plain green words"
ISSUER = "https://id.example.org"


def account(session: Session, name: str = "Ann") -> tuple[int, str]:
    """Somebody who came in by a link: who, and the login's token."""
    login = people.redeem(session, people.invite(session, name))
    found = people.who(session, login)
    assert found is not None
    return found.id, login


def said(subject: str = "s-1", once: str = "n-1", **more: object) -> identities.Claims:
    """What the provider says of somebody who signed in there."""
    claims = claims_of({"iss": ISSUER, "sub": subject, "iat": 1, "nonce": once, **more})
    assert claims is not None
    return claims


def test_a_password_that_was_set_signs_in_and_another_does_not(make: Make) -> None:
    with make.begin() as session:
        ann, _ = account(session)
        assert not passwords.has_password(session, ann)
        passwords.put(session, ann, passwords.hashed("Ann", GOOD))
    with make() as session:
        match = passwords.check(session, " Ann ", GOOD)
        assert (match.annotator_id, match.active) == (ann, True)
        for name, text in (("Ann", GOOD + "."), ("Ann", ""), ("Bob", GOOD), ("ann", GOOD)):
            with pytest.raises(WrongPassword, match="do not go together"):
                passwords.check(session, name, text)


def test_only_an_argon2id_hash_with_its_own_salt_is_kept(make: Make) -> None:
    with make.begin() as session:
        for name in ("Ann", "Bob"):
            passwords.put(session, account(session, name)[0], passwords.hashed(name, GOOD))
    with make() as session:
        one, two = session.scalars(select(Password.hash))
    assert one != two and GOOD not in one + two
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_letter_typed_in_two_parts_is_the_same_letter(make: Make) -> None:
    with make.begin() as session:
        ann, _ = account(session)
        passwords.put(session, ann, passwords.hashed("Ann", "caf\u00e9 au lait"))
        assert passwords.check(session, "Ann", "cafe\u0301 au lait").annotator_id == ann


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("short one", "at least 10"),
        ("x" * 201, "at most 200"),
        ("annabel LEE", "your name"),
        ("abababababab", "repeats"),
    ],
)
def test_a_poor_password_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        passwords.hashed("Annabel Lee", text)


def test_an_unknown_name_costs_the_same_work_as_a_known_one(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not passwords.HASHER.check_needs_rehash(passwords.NOBODYS_HASH)
    worked: list[str] = []
    real = PasswordHasher.verify

    def verify(self: PasswordHasher, hash: str, text: str) -> bool:
        worked.append(hash.rsplit("$", 2)[0])
        return real(self, hash, text)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    with make.begin() as session:
        ann, _ = account(session)
        account(session, "Bob")  # has no password
        passwords.put(session, ann, passwords.hashed("Ann", GOOD))
        for name in ("Ann", "Bob", "nobody"):
            with pytest.raises(WrongPassword):
                passwords.check(session, name, "not this one")
    assert len(worked) == 3 and len(set(worked)) == 1, "the same parameters each time"


def test_a_hash_of_weaker_parameters_is_made_anew_at_sign_in(make: Make) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
    with make.begin() as session:
        ann, _ = account(session)
        passwords.put(session, ann, passwords.Hash(weak.hash(GOOD)))
        match = passwords.check(session, "Ann", GOOD)
        assert passwords.outdated(match)
        passwords.confirm(session, match, anew=passwords.anew(GOOD))
        after = passwords.check(session, "Ann", GOOD)
        assert not passwords.outdated(after)
        with pytest.raises(WrongPassword):  # the earlier check is of a hash that is gone
            passwords.confirm(session, match, anew=None)


def test_changing_the_password_ends_the_other_logins(make: Make) -> None:
    with make.begin() as session:
        ann, here = account(session)
        there = people.redeem(session, people.invite(session, "Ann"))
        bobs = account(session, "Bob")[1]
        assert passwords.put(session, ann, passwords.hashed("Ann", GOOD), keep=here) == 1
        assert people.who(session, here) is not None and people.who(session, bobs) is not None
        assert people.who(session, there) is None
        assert passwords.put(session, ann, passwords.hashed("Ann", GOOD + "!")) == 1
        assert people.who(session, here) is None


def test_a_change_asks_for_the_old_password_unless_a_link_was_just_used(make: Make) -> None:
    with make.begin() as session:
        ann, _ = account(session)
        later = utcnow() + timedelta(hours=2)
        assert not passwords.needs_old(session, ann, now=later), "there is none"
        passwords.put(session, ann, passwords.hashed("Ann", GOOD))
        assert passwords.needs_old(session, ann, now=later)
        assert not passwords.needs_old(session, ann), "the link proves it"


def test_guessing_at_a_name_waits_longer_each_time_and_starts_over_later(make: Make) -> None:
    now = utcnow()

    def attempt(name: str, at: timedelta) -> int:
        try:
            with make.begin() as session:
                sign_in_tries.begin(session, name, f"10.0.0.{at.seconds % 250}", now=now + at)
        except TooManyTries as error:
            return error.seconds
        return 0

    moment = timedelta(0)
    for _ in range(5):
        assert attempt("Ann", moment) == 0
    waits = []
    for _ in range(10):
        waits.append(attempt("Ann", moment))
        moment += timedelta(seconds=waits[-1])
        assert attempt("Ann", moment) == 0
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert attempt(" ANN", moment) == 900, "the same name, and nobody is told that it is nobody's"
    assert attempt("Bob", moment) == 0
    assert attempt("Ann", moment + timedelta(hours=1, seconds=1)) == 0


def test_an_address_may_not_guess_at_many_names(make: Make) -> None:
    with make.begin() as session:
        for number in range(20):
            sign_in_tries.begin(session, f"name {number}", "2001:db8::1")
        with pytest.raises(TooManyTries):
            sign_in_tries.begin(session, "one more", "2001:db8::2")  # of the same network
        sign_in_tries.begin(session, "one more", "2001:db8:0:1::1")
        kept = set(session.scalars(select(SignInTry.key)))
    assert all(len(each) == 64 for each in kept)


def test_the_right_password_ends_the_names_count_but_not_the_addresss(make: Make) -> None:
    with make.begin() as session:
        for number in range(19):
            sign_in_tries.begin(session, f"name {number}", "10.0.0.1")
        for _ in range(3):
            sign_in_tries.begin(session, "mine", "10.0.0.2")
        sign_in_tries.begin(session, "mine", "10.0.0.1")
        sign_in_tries.succeeded(session, "mine", "10.0.0.1")
        for _ in range(5):
            sign_in_tries.begin(session, "mine", "10.0.0.3")
        sign_in_tries.begin(session, "other", "10.0.0.1")
        with pytest.raises(TooManyTries):
            sign_in_tries.begin(session, "another", "10.0.0.1")


def test_guesses_sent_at_once_are_counted_one_by_one(make: Make) -> None:
    from db.session import transact

    url = make.kw["bind"].url.render_as_string(hide_password=False)
    through: list[int] = []

    def guess() -> None:
        try:
            transact(url, lambda session: sign_in_tries.begin(session, "Ann", "10.0.0.1"))
            through.append(1)
        except TooManyTries:
            pass

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(through) == 5


def test_links_that_wait_are_listed_and_one_taken_back_opens_nothing(make: Make) -> None:
    with make.begin() as session:
        token = people.invite(session, "Ann")
        account(session, "Bob")  # used
        people.invite(session, "Cy", valid=timedelta(days=-1))  # ran out
        people.invite(session, "Dee")
        people.set_active(session, "Dee", False)
        (waiting,) = invites.outstanding(session)
        assert (waiting.name, waiting.role) == ("Ann", "evaluator")
        assert invites.revoke(session, waiting.id) == "Ann"
        assert invites.outstanding(session) == []
        with pytest.raises(Refused, match="taken back"):
            people.redeem(session, token)
        used = session.scalars(select(Invite.id).where(Invite.used_at.is_not(None))).one()
        with pytest.raises(Refused, match="used already"):
            invites.revoke(session, used)
        with pytest.raises(NotFound, match="no link 999"):
            invites.revoke(session, 999)


def test_somebody_ends_single_logins_of_their_own_and_nobody_elses(make: Make) -> None:
    with make.begin() as session:
        ann, here = account(session)
        there = people.redeem(session, people.invite(session, "Ann"))
        bob, bobs = account(session, "Bob")
        newest, oldest = logins.live(session, ann)
        assert newest.token_sha256 == logins.digest(there)
        logins.revoke(session, ann, newest.id)
        assert people.who(session, there) is None and people.who(session, here) is not None
        with pytest.raises(NotFound, match="not one of yours"):
            logins.revoke(session, bob, oldest.id)
        assert people.who(session, here) is not None and people.who(session, bobs) is not None


def test_a_pair_goes_back_only_when_nobody_is_signed_in_to_judge_it(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=1)
        ann, here = account(session)
        people.redeem(session, people.invite(session, "Ann"))
        assert labeling.claim(session, ann) is not None
        assert logins.revoke_all(session, ann, keep=here) == 1
        assert session.scalars(select(Comparison.seats)).one() == 0
        logins.revoke(session, ann, logins.live(session, ann)[0].id)
        assert session.scalars(select(Comparison.seats)).one() == 1


def test_an_account_at_a_provider_is_never_bound_by_its_name(make: Make) -> None:
    with make.begin() as session:
        account(session)
        claims = said(name="Ann", preferred_username="Ann", email="ann@example.org")
        assert identities.whose(session, claims) is None
        assert identities.enter(session, claims) is None
        assert session.scalars(select(Login)).all()[1:] == []


def test_a_linked_account_signs_in_and_one_sign_in_is_one_login(make: Make) -> None:
    with make.begin() as session:
        ann, _ = account(session)
        identities.link(session, "Ann", ISSUER, subject="s-1")
        first = identities.enter(session, said())
        assert first is not None and identities.enter(session, said()) == first
        found = people.who(session, first)
        assert found is not None and found.id == ann
        people.sign_out(session, first)
        assert identities.enter(session, said()) == first
        assert people.who(session, first) is None, "signed out stays signed out"
        again = identities.enter(session, said(once="n-2"))
        assert again is not None and people.who(session, again) is not None
        assert identities.enter(session, said("s-2")) is None


def test_a_verified_address_is_bound_to_its_subject_at_the_first_sign_in(make: Make) -> None:
    with make.begin() as session:
        account(session)
        identities.link(session, "Ann", ISSUER, email="Ann@Example.org")
        for unverified in (None, False, "true"):
            claims = said(email="ann@example.org", email_verified=unverified)
            assert identities.enter(session, claims) is None
        assert identities.enter(session, said("email:ann@example.org")) is None
        claims = said(email="ANN@example.org", email_verified=True)
        assert identities.enter(session, claims) is not None
        assert session.scalars(select(Identity.subject)).one() == "s-1"
        other = said("s-9", email="ann@example.org", email_verified=True)
        assert identities.enter(session, other) is None, "the address was handed on to somebody"


def test_an_identity_signs_in_one_person_and_unlinking_works_at_once(make: Make) -> None:
    with make.begin() as session:
        account(session)
        account(session, "Bob")
        identities.link(session, "Ann", ISSUER, subject="s-1")
        with pytest.raises(Refused, match="somebody else"):
            identities.link(session, "Bob", ISSUER, subject="s-1")
        for wrong in ({}, {"subject": "x", "email": "y"}, {"subject": "email:x"}):
            with pytest.raises(Refused):
                identities.link(session, "Bob", ISSUER, **wrong)
        with pytest.raises(Refused, match="issuer is an address"):
            identities.link(session, "Bob", "google", subject="x")
        key = identities.enter(session, said())
        assert key is not None and people.who(session, key) is not None
        assert identities.unlink(session, "Ann", issuer="https://elsewhere.org") == 0
        assert identities.unlink(session, "Ann") == 1
        assert people.who(session, key) is None
        assert identities.enter(session, said(once="n-2")) is None


def test_somebody_switched_off_cannot_come_back_by_any_way(make: Make) -> None:
    with make.begin() as session:
        ann, _ = account(session)
        identities.link(session, "Ann", ISSUER, subject="s-1")
        passwords.put(session, ann, passwords.hashed("Ann", GOOD))
        people.set_active(session, "Ann", False)
        assert identities.enter(session, said()) is None
        assert not passwords.check(session, "Ann", GOOD).active


def test_two_tabs_of_one_sign_in_open_one_login(make: Make) -> None:
    from db.session import transact

    url = make.kw["bind"].url.render_as_string(hide_password=False)
    with make.begin() as session:
        account(session)
        identities.link(session, "Ann", ISSUER, subject="s-1")
    keys: list[str | None] = []
    threads = [
        threading.Thread(
            target=lambda: keys.append(transact(url, lambda s: identities.enter(s, said())))
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keys == [said().key] * 6
    with make() as session:
        assert len(session.scalars(select(Login)).all()) == 2


def test_a_claim_that_names_nobody_is_no_claim() -> None:
    assert claims_of({}) is None
    assert claims_of({"iss": ISSUER}) is None
    assert claims_of({"iss": ISSUER, "sub": "x" * 301}) is None


def test_everybodys_ways_in_are_told(make: Make) -> None:
    with make.begin() as session:
        ann, _ = account(session)
        bob, _ = account(session, "Bob")
        people.put_annotator(session, "imported")
        people.invite(session, "Ann")
        identities.link(session, "Ann", ISSUER, subject="s-1")
        passwords.put(session, ann, passwords.hashed("Ann", GOOD))
        assert ways_in(session) == {ann: ["password", "id.example.org", "link"]}
        imported = session.scalars(select(Annotator).where(Annotator.name == "imported")).one()
        passwords.put(session, imported.id, passwords.hashed("imported", GOOD))
        session.execute(update(Invite).values(annotator_id=bob))
        assert [each.name for each in people.people(session, invited=True)] == [
            "Ann",
            "Bob",
            "imported",
        ]
