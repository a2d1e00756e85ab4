"""What an adapter lost, on both databases: tallied, found, sorted, searched, described."""

import secrets

import pytest
from sqlalchemy import select

from db import batches, failure_words, failures, labeling
from db.clock import utcnow
from db.failure_texts import describe
from db.failures import Against, Kind, Order, Scope, Wish
from db.models import Assignment, Batch, Candidate, Comparison, Judgment, Prompt, Retraction
from tests.db import filling

OLD, NEW = "playful_sidekick-old", "playful_sidekick-new"
MINE = Scope(OLD, "playful_sidekick")


def say(session, comparison, who, verdict, *, strength=None, kind="human", **more):
    """One judgment in canonical order: a is the old adapter's response in these tests."""
    person = filling.somebody(session, who, kind)
    lease = Assignment(
        token=secrets.token_urlsafe(32)[:43],
        comparison_id=comparison.id,
        annotator_id=person.id,
        placement=1,
        state="judged",
        seat=False,
        expires_at=utcnow(),
    )
    session.add(lease)
    session.flush()
    session.add(
        Judgment(
            assignment_id=lease.id,
            comparison_id=comparison.id,
            annotator_id=person.id,
            verdict=verdict,
            strength=(strength or 1) if verdict in ("a", "b") else None,
            placement=1,
            **more,
        )
    )
    session.flush()


def comparisons(session):
    return list(session.scalars(select(Comparison).order_by(Comparison.id)))


@pytest.fixture
def judged(make):
    """Five comparisons: lost 3 of 3, lost 1 of 1 much, won, both bad, not judged."""
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=5, overlap=3)
        first, second, third, fourth, _ = comparisons(session)
        for who in ("ann", "ben", "cem"):
            say(session, first, who, "b", tags=["Clearer"] if who != "cem" else [])
        say(session, second, "ann", "b", strength=2, tags=["Clearer", "Pushy or cold"])
        say(session, third, "ann", "a", tags=["More in character"])
        say(session, third, "robot", "tie", kind="simulated")
        say(session, fourth, "ann", "both_bad", flag="broken", comment="100 % wrong_word")
    return make


def ids(found):
    return [row.comparison for row in found.rows]


def test_only_what_more_judgments_preferred_the_other_counts_as_lost(judged):
    with judged() as session:
        (group,) = failures.groups(session, MINE)
        found = failures.find(session, MINE, Wish(), limit=10)
    assert (group.comparisons, group.lost, group.explained, group.flagged) == (4, 2, 2, 1)
    assert (group.wins, group.losses, group.ties, group.both_bad) == (1, 4, 1, 1)
    assert (group.judgments, group.simulated, group.units) == (7, 1, 3)
    assert (group.score2, group.cross, group.weight2) == (2.25, 3.0, 14.0)
    assert found.total == 2
    assert [(row.losses, row.n) for row in found.rows] == [(3, 3), (1, 1)]


def test_the_winner_of_the_same_comparisons_has_their_mirror(judged):
    with judged() as session:
        (group,) = failures.groups(session, Scope(NEW, "playful_sidekick"))
        found = failures.find(session, Scope(NEW, "playful_sidekick"), Wish(), limit=10)
    assert (group.lost, group.wins, group.losses) == (1, 4, 1)
    assert [row.side for row in found.rows] == ["b"]


def test_an_adapter_that_never_lost_and_one_that_nobody_judged_have_nothing(judged):
    with judged.begin() as session:
        for scope in (Scope("nobody", "playful_sidekick"), Scope(OLD, None), Scope(OLD, "other")):
            assert failures.groups(session, scope) == []
            assert failures.find(session, scope, Wish(), limit=10).total == 0
            assert failures.reasons(session, scope) == []


def test_kinds_narrow_the_list(judged):
    with judged() as session:
        first, second, _, fourth, _ = (each.id for each in comparisons(session))
        found = {kind: ids(failures.find(session, MINE, Wish(kind), limit=10)) for kind in Kind}
    assert found[Kind.LOST] == [first, second]
    assert found[Kind.MUCH] == [second]
    assert found[Kind.BOTH_BAD] == found[Kind.FLAGGED] == [fourth]


def test_four_of_four_come_before_one_of_one_and_newest_first_is_the_other_way(judged):
    with judged() as session:
        agreed = failures.find(session, MINE, Wish(), limit=10)
        newest = failures.find(session, MINE, Wish(order=Order.NEWEST), limit=10)
    assert ids(newest) == ids(agreed)[::-1]


def test_reasons_are_those_of_judgments_against_the_adapter_counted_once_a_comparison(judged):
    with judged() as session:
        assert failures.reasons(session, MINE) == [("Clearer", 2), ("Pushy or cold", 1)]
        theirs = failures.reasons(session, Scope(NEW, "playful_sidekick"))
        pushy = failures.find(session, MINE, Wish(tag="Pushy or cold"), limit=10)
        praised = failures.find(session, MINE, Wish(tag="More in character"), limit=10)
    assert theirs == [("More in character", 1)]
    assert pushy.total == 1
    assert praised.total == 0


def test_what_was_taken_back_counts_for_nothing(judged):
    with judged.begin() as session:
        second = comparisons(session)[1].id
        gone = session.scalar(select(Judgment.id).where(Judgment.comparison_id == second))
        session.add(Retraction(judgment_id=gone, reason="undone"))
    with judged() as session:
        (group,) = failures.groups(session, MINE)
        assert group.lost == 1
        assert failures.reasons(session, MINE) == [("Clearer", 1)]
        assert failures.find(session, MINE, Wish(search="old says 1"), limit=10).total == 0


def test_people_only_leaves_the_others_out(judged):
    with judged.begin() as session:
        fifth = comparisons(session)[4]
        say(session, fifth, "robot", "b", kind="simulated")
    people = Scope(OLD, "playful_sidekick", people_only=True)
    with judged() as session:
        assert failures.find(session, MINE, Wish(), limit=10).total == 3
        assert failures.find(session, people, Wish(), limit=10).total == 2
        assert sum(group.simulated for group in failures.groups(session, people)) == 0


def test_a_list_is_cut_by_the_database_and_knows_its_length(judged):
    with judged() as session:
        whole = ids(failures.find(session, MINE, Wish(), limit=10))
        head = failures.find(session, MINE, Wish(), limit=1)
        tail = failures.find(session, MINE, Wish(), limit=1, offset=1)
    assert [head.total, tail.total] == [2, 2]
    assert ids(head) + ids(tail) == whole


@pytest.mark.parametrize(
    ("search", "places"),
    [
        ("OLD SAYS 1", [1]),  # the response that lost
        ("new says 1", [1]),  # the one that won
        ("batch 0?", [0]),  # the prompt
        ("says", [0, 1]),
        ("content", []),  # a word of the JSON, in no text
        ("role", []),
        ("%", []),
        ("_", []),
        ("says%1", []),
        ("\\", []),
        ("'; drop table judgment; --", []),
        ("\x00", []),
        ("\ud800", []),
    ],
)
def test_a_search_finds_words_as_they_are_written(judged, search, places):
    with judged() as session:
        every = [each.id for each in comparisons(session)]
        wish = Wish(search=failure_words.tidy(search) or "nothing of the kind")
        assert ids(failures.find(session, MINE, wish, limit=10)) == [every[n] for n in places]


def test_wildcards_in_a_search_are_letters(judged):
    with judged() as session:
        for search, total in (("100 %", 1), ("wrong_", 1), ("wrong%", 0), ("wron_", 0), ("%", 1)):
            wish = Wish(Kind.BOTH_BAD, search=search)
            assert failures.find(session, MINE, wish, limit=10).total == total, search


def test_a_search_folds_the_case_of_other_letters_too(judged):
    with judged.begin() as session:
        first = comparisons(session)[0]
        session.get_one(Candidate, first.candidate_a_id).text = "Über ÉCLAIRS und naïve Cafés"
        prompt = session.get_one(Prompt, comparisons(session)[1].prompt_id)
        prompt.messages = [{"role": "user", "content": "Größe?"}]
    with judged() as session:
        for search in ("über", "ÜBER", "éclairs", "NAÏVE", "größe", "Größe"):
            assert failures.find(session, MINE, Wish(search=search), limit=10).total == 1, search


def test_a_round_is_this_ledgers_or_an_imports(judged):
    with judged.begin() as session:
        session.scalars(select(Batch)).one().round_number = 4
    with judged() as session:
        for number, lost in ((4, 2), (5, 0)):
            scope = Scope(OLD, "playful_sidekick", round=number)
            assert failures.find(session, scope, Wish(), limit=10).total == lost


def test_against_itself_this_response_is_the_one_that_lost(make):
    with make.begin() as session:
        filling.persona(session)
        into = batches.open_batch(session, name="own", kind="label", persona=filling.PERSONA)
        for number in range(3):
            ask = f"own {number}?"
            one = filling.candidate(session, f"one {number}", ask=ask, seed=1)
            two = filling.candidate(session, f"two {number}", ask=ask, seed=2)
            made = batches.put_comparison(session, into, one, two)
            say(session, made, "ann", ("a", "b", "tie")[number], tags=["Clearer"])
    own = Scope(OLD, filling.PERSONA, against=Against.ITSELF)
    with make() as session:
        assert failures.find(session, MINE, Wish(), limit=9).total == 0
        found = failures.find(session, own, Wish(), limit=9)
        told = describe(session, own, found.rows)
        assert failures.reasons(session, own) == [("Clearer", 2)]
        assert failures.find(session, own, Wish(tag="Clearer"), limit=9).total == 2
    assert sorted((each.response, each.other) for each in told) == [
        ("one 1", "two 1"),
        ("two 0", "one 0"),
    ]
    assert {each.opponent for each in told} == {OLD}


def test_a_comparison_is_told_from_the_adapters_side(judged):
    with judged() as session:
        found = failures.find(session, MINE, Wish(Kind.FLAGGED), limit=10)
        (told,) = describe(session, MINE, found.rows)
        lost = describe(session, MINE, failures.find(session, MINE, Wish(), limit=10).rows)
        theirs = Scope(NEW, "playful_sidekick")
        won = describe(session, theirs, failures.find(session, theirs, Wish(), limit=10).rows)
    assert (told.response, told.other, told.opponent) == ("old says 3", "new says 3", NEW)
    (said,) = told.said
    assert (said.verdict, said.flag, said.comment) == ("both_bad", "broken", "100 % wrong_word")
    assert [each.verdict for each in lost[0].said] == ["lost"] * 3
    assert (won[0].response, won[0].other) == ("new says 2", "old says 2")
    mirrored = {each.annotator: each.first for each in won[0].said}
    assert set(mirrored.values()) == {False}


def test_answers_given_on_the_page_arrive(make):
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=1)
        ann = filling.somebody(session)
        shown = labeling.claim(session, ann.id)
        labeling.judge(
            session,
            shown.token,
            ann.id,
            "b" if shown.response_a.startswith("old") else "a",
            strength=2,
            tags=["Clearer"],
            comment="so kind",
            in_character="yes",
            helpful="no",
            min_dwell=False,
        )
    with make() as session:
        found = failures.find(session, MINE, Wish(Kind.MUCH, search="SO KIND"), limit=10)
        (told,) = describe(session, MINE, found.rows)
    (said,) = told.said
    assert said.answers == {"in character": "yes", "helpful": "no"}
    assert said.first == shown.response_a.startswith("old")
    assert said.strength == 2
