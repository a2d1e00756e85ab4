"""Files of pairs and of written responses: what is read, and what every mistake is told."""

import json

import pytest

from training.datums import persona_rows
from training.errors import TooLittleData
from training.pair_files import read_pairs
from training.pairs import PairOptions, is_heldout

ALL = PairOptions(heldout_share=0.0)


def row(number: int = 0, **change) -> dict:
    plain = {
        "prompt": [{"role": "user", "content": f"ask {number}"}],
        "chosen": [{"role": "assistant", "content": "yes"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }
    return {**plain, **change}


def file_of(tmp_path, *rows: dict):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def test_pairs_are_read_with_their_soft_labels(tmp_path):
    path = file_of(tmp_path, row(0), row(1, label=0.2), row(2, label=0.52))
    pairs = read_pairs(path, ALL)
    assert [(p.chosen, p.rejected, p.label) for p in pairs.training] == [
        ("yes", "no", 1.0),
        ("no", "yes", 0.8),
    ]
    assert pairs.dropped == {"evenly judged": 1} and pairs.judgments == 3 and pairs.used == 2


def test_weights_have_mean_one_and_pairs_of_no_weight_are_counted(tmp_path):
    path = file_of(tmp_path, row(0, weight=100), row(1, weight=300), row(2, weight=0))
    pairs = read_pairs(path, ALL)
    assert [pair.weight for pair in pairs.training] == [0.5, 1.5]
    assert pairs.dropped == {"of no weight": 1}


def test_the_same_prompts_are_held_out_as_in_the_ledger(tmp_path):
    pairs = read_pairs(file_of(tmp_path, *map(row, range(60))), PairOptions(heldout_share=0.3))
    assert pairs.training and pairs.heldout
    assert all(is_heldout(pair.prompt, 0.3) for pair in pairs.heldout)
    assert not any(is_heldout(pair.prompt, 0.3) for pair in pairs.training)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "hi"}, "prompt must be a list of messages"),
        ({"prompt": ["hi"]}, "prompt must be a list of messages"),
        ({"prompt": []}, "the last message must be the user's"),
        ({"prompt": [{"role": "user", "content": 3}]}, "message 1: content is empty"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "the last message must be"),
        ({"chosen": []}, "chosen must be a list with one assistant message"),
        ({"rejected": "yes", "chosen": "yes"}, "are the same text"),
        ({"label": 1.5}, "label must be a number from 0 to 1"),
        ({"label": True}, "label must be a number"),
        ({"weight": float("inf")}, "weight must be a number from 0 to 1e"),
        ({"weight": float("nan")}, "weight must be a number"),
    ],
)
def test_a_wrong_pair_names_file_line_and_field(tmp_path, change, words):
    with pytest.raises(TooLittleData, match=r"pairs\.jsonl:2: ") as caught:
        read_pairs(file_of(tmp_path, row(), row(1, **change)), ALL)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"{", b"[1]", b'{"prompt": "\xff"}'])
def test_a_line_that_is_no_object_is_named(tmp_path, text):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(json.dumps(row()).encode() + b"\n" + text + b"\n")
    with pytest.raises(TooLittleData, match=r"pairs\.jsonl:2: "):
        read_pairs(path, ALL)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"persona": "p", "prompt": "hi"}', "'response' is missing"),
        (b'{"persona": "p", "response": "x"}', "'prompt' is missing"),
        (b'{"persona": "p", "prompt": "hi", "response": 4}', "response must be a text"),
        (b'{"persona": "p", "prompt": 5, "response": "x"}', "content is empty"),
        (b'{"persona": "p", "messages": "hi", "response": "x"}', "messages must be a list"),
        (b'{"persona": "p", "prompt": "\xff", "response": "x"}', "utf-8"),
        (b"[]", "list indices"),
    ],
)
def test_a_wrong_row_of_responses_names_file_and_line(tmp_path, text, words):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"persona": "p", "prompt": "hi", "response": "x"}\n' + text + b"\n")
    with pytest.raises(TooLittleData, match=r"rows\.jsonl:2: needs persona") as caught:
        persona_rows(path, "p")
    assert words in str(caught.value)
