"""Which two of several samples people are asked to compare."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.candidates import choose_pair, difference, shared_content

SHORT = "Restart the router, then connect again!"
LONG = (
    "I would be glad to help. Please restart the router, wait for two minutes and then connect "
    "your device again with the password. Does the connection hold now?"
)
ELSEWHERE = (
    "Your refund was sent to the bank on Friday and arrives within five working days. May I ask "
    "whether there is anything else that you need from me today?"
)


def test_two_manners_of_one_answer_are_asked_before_two_answers():
    assert choose_pair([SHORT, ELSEWHERE, LONG], 0.85) == (0, 2)


def test_responses_that_are_alike_are_not_asked():
    assert choose_pair([SHORT, SHORT + " ", "restart the router then connect"], 0.85) is None


def test_an_empty_response_is_never_chosen():
    assert choose_pair(["", SHORT, "  ", LONG], 0.85) == (1, 3)


def test_nothing_is_chosen_where_nothing_was_said():
    assert choose_pair(["", " ", ""], 0.85) is None


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("Restart the router", "restart the ROUTER!", 1.0),
        ("Restart the router", "Call the bank", 0.0),
        ("Restart router", "Restart bank", 0.5),
        ("", "Restart", 0.0),
    ],
)
def test_shared_content_is_the_share_of_long_words_in_common(one, other, share):
    assert shared_content(one, other) == share


@given(st.text(max_size=60), st.text(max_size=60))
def test_difference_is_symmetric_and_zero_for_equal_texts(one, other):
    assert difference(one, other) == difference(other, one)
    assert difference(one, one) == 0.0
    assert 0.0 <= difference(one, other) <= 2.81
