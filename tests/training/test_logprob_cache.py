"""Kept log-probabilities: whole or not at all, verified, and shared by runs at the same time."""

import json

import pytest

from training.logprob_cache import LogProbCache


def test_what_one_run_adds_the_next_one_knows(tmp_path):
    LogProbCache("w", tmp_path).add({"a": -1.5, "b": -2.25})
    assert LogProbCache("w", tmp_path).known == {"a": -1.5, "b": -2.25}
    assert LogProbCache("other", tmp_path).known == {}


def test_kept_values_never_change_and_two_runs_lose_nothing_of_each_other(tmp_path):
    one, other = LogProbCache("w", tmp_path), LogProbCache("w", tmp_path)
    one.add({"a": -1.0})
    other.add({"a": -1.0000001, "b": -2.0})
    assert LogProbCache("w", tmp_path).known == {"a": -1.0, "b": -2.0} == other.known


@pytest.mark.parametrize("damage", ["value", "weights", "format", "cut", "list", "bytes"])
def test_a_file_that_is_not_what_was_written_is_not_believed(tmp_path, damage):
    LogProbCache("w", tmp_path).add({"a": -1.0, "b": -2.0})
    path = tmp_path / "w.json"
    told = json.loads(path.read_text())
    if damage == "value":
        told["logprobs"]["a"] = -1.5
    elif damage in told:
        told[damage] = "x"
    text = json.dumps([told] if damage == "list" else told)
    path.write_bytes(
        b"\xff" if damage == "bytes" else text[: -9 if damage == "cut" else None].encode()
    )
    cache = LogProbCache("w", tmp_path)
    assert cache.known == {}
    cache.add({"a": -3.0})
    assert LogProbCache("w", tmp_path).known == {"a": -3.0}
