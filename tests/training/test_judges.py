"""Judges: loading them, what they may answer, and simulated annotators."""

from statistics import mean

import pytest

from training.errors import JudgeRefused
from training.evaluation.judges import PREFERENCES, annotators, load_judge

MESSAGES = [{"role": "user", "content": "hi"}]
SHORT = "Open Settings > Plans! Done! 🎉"
LONG = (
    "First, open the settings of your account and look for the page about plans. Then compare "
    "them one by one, and choose the plan that suits you. Shall I help you with that?"
)


def judge_file(tmp_path, body: str, name: str = "judge.py") -> str:
    (tmp_path / name).write_text(body)
    return f"{tmp_path / name}:prefer"


def test_a_judge_is_called_in_shown_order(tmp_path):
    spec = judge_file(
        tmp_path,
        "def prefer(messages, persona, response_a, response_b):\n"
        "    assert messages[-1]['role'] == 'user' and persona == 'p'\n"
        "    return 'a' if len(response_a) > len(response_b) else 'b'\n",
    )
    judge = load_judge(spec)
    assert judge(MESSAGES, "p", "longer", "short") == "a"
    assert judge(MESSAGES, "p", "short", "longer") == "b"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def other(): pass", "no function 'prefer' there; it has other"),
        ("prefer = 3", "no function 'prefer'"),
        ("def prefer(a, b): pass", "must take .messages, persona, response_a, response_b."),
        ("import nothing_like_this", "cannot be imported: ModuleNotFoundError"),
        ("def prefer(:", "cannot be imported: SyntaxError"),
        ("import sys; sys.exit('bye')", "cannot be imported: SystemExit: bye"),
    ],
)
def test_a_judge_that_cannot_be_loaded_is_one_clear_line(tmp_path, body, message):
    with pytest.raises(JudgeRefused, match=message) as caught:
        load_judge(judge_file(tmp_path, body))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["nofunction.py", "file.py:", ":f", "file.py:not a name"])
def test_a_judge_without_a_function_name_is_refused(spec):
    with pytest.raises(JudgeRefused, match=r"FILE\.py:function"):
        load_judge(spec)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(JudgeRefused, match="there is no file"):
        load_judge(f"{tmp_path / 'gone.py'}:prefer")


@pytest.mark.parametrize("answer", ["'A'", "None", "1", "('a',)", "'better'"])
def test_a_wrong_answer_is_one_clear_error(tmp_path, answer):
    judge = load_judge(judge_file(tmp_path, f"def prefer(m, p, a, b): return {answer}"))
    with pytest.raises(JudgeRefused, match="must answer one of a, b, tie, both_bad"):
        judge(MESSAGES, "p", "x", "y")


def test_a_judge_that_answers_with_an_enumeration_of_texts_is_understood(tmp_path):
    body = (
        "from enum import Enum\n"
        "class V(str, Enum):\n    A = 'a'\n"
        "def prefer(m, p, a, b): return V.A\n"
    )
    verdict = load_judge(judge_file(tmp_path, body))(MESSAGES, "p", "x", "y")
    assert type(verdict) is str and verdict == "a"


def test_a_judge_that_ends_the_program_is_an_error_of_the_judge(tmp_path):
    body = "import sys\ndef prefer(m, p, a, b): sys.exit(0)\n"
    with pytest.raises(JudgeRefused, match="failed: SystemExit"):
        load_judge(judge_file(tmp_path, body))(MESSAGES, "p", "x", "y")


def test_an_exception_in_a_judge_names_its_line(tmp_path):
    judge = load_judge(judge_file(tmp_path, "def prefer(m, p, a, b):\n    return 1 / 0\n"))
    with pytest.raises(JudgeRefused, match=r"failed: ZeroDivisionError.*\(line 2\)"):
        judge(MESSAGES, "p", "x", "y")


def test_two_judge_files_of_the_same_name_do_not_mix(tmp_path):
    for folder, answer in (("one", "a"), ("two", "b")):
        (tmp_path / folder).mkdir()
        judge_file(tmp_path / folder, f"def prefer(m, p, a, b): return '{answer}'")
    one = load_judge(f"{tmp_path / 'one' / 'judge.py'}:prefer")
    two = load_judge(f"{tmp_path / 'two' / 'judge.py'}:prefer")
    assert (one(MESSAGES, "p", "x", "y"), two(MESSAGES, "p", "x", "y")) == ("a", "b")


def test_annotators_are_the_same_people_for_the_same_seed():
    assert annotators(40, seed=5) == annotators(40, seed=5)
    assert annotators(40, seed=5) != annotators(40, seed=6)
    assert len({one.name for one in annotators(40)}) == 40
    assert all(one.name.startswith("simulated") for one in annotators(40))


def test_the_same_question_always_gets_the_same_answer():
    panel = annotators(40, seed=1)
    for one in panel:
        first = one.opinion(MESSAGES, "playful_sidekick", SHORT, LONG)
        assert one.opinion(MESSAGES, "playful_sidekick", SHORT, LONG) == first


@pytest.mark.parametrize("persona", [*PREFERENCES, "somebody_else"])
def test_most_annotators_follow_the_stated_preference_and_some_do_not(persona):
    liked = {
        "playful_sidekick": (SHORT, LONG),
        "formal_concierge": (LONG, SHORT),
        "luxury_curator": (LONG.replace("First, open", "Open"), SHORT),
        "technical_advisor": (LONG.replace(" Shall I help you with that?", ""), SHORT),
        "somebody_else": (SHORT, LONG),
    }[persona]
    verdicts = []
    for one in annotators(200, seed=2):
        verdicts.append(one.opinion(MESSAGES, persona, *liked).verdict == "a")
        verdicts.append(one.opinion(MESSAGES, persona, *reversed(liked)).verdict == "b")
    assert 0.8 < mean(verdicts) < 1.0


def test_strength_goes_with_decided_verdicts_only():
    for one in annotators(40, seed=3):
        for pair in ((SHORT, LONG), (SHORT, SHORT + " "), ("", " ")):
            opinion = one.opinion(MESSAGES, "playful_sidekick", *pair)
            assert (opinion.strength in (1, 2)) == (opinion.verdict in ("a", "b"))
    assert annotators(1)[0].opinion(MESSAGES, "p", "", " ").verdict == "both_bad"


def test_a_given_judge_replaces_the_preference_and_the_noise():
    panel = annotators(20, judge=lambda m, p, a, b: "tie", name="simulated-ties")
    for one in panel:
        assert one.opinion(MESSAGES, "p", SHORT, LONG).verdict == "tie"
        assert one.name.startswith("simulated-ties-")
