"""Pairs from judgments: what counts, what never does, and that order does not matter."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import ConfigRefused
from training.pairs import PairOptions, build_pairs, is_heldout, prompt_key

NONE_HELD = PairOptions(heldout_share=0.0)


@dataclass(frozen=True)
class Judged:
    judgment_id: int
    verdict: str
    strength: int | None = 1
    text_a: str = "one"
    text_b: str = "two"
    prompt: str = "hi"
    weight: float = 1.0
    tokens_a: tuple[int, ...] | None = None
    tokens_b: tuple[int, ...] | None = None

    @property
    def messages(self):
        return [{"role": "user", "content": self.prompt}]


def test_a_judgment_becomes_a_pair_with_the_better_text_chosen():
    (pair,) = build_pairs([Judged(7, "b")], NONE_HELD).training
    assert (pair.chosen, pair.rejected, pair.label, pair.judgments) == ("two", "one", 1.0, (7,))
    assert pair.messages == ({"role": "user", "content": "hi"},)


@pytest.mark.parametrize("verdict", ["tie", "both_bad"])
def test_tie_and_both_bad_never_become_a_training_pair(verdict):
    pairs = build_pairs([Judged(1, verdict, None)], NONE_HELD)
    assert not pairs.training and not pairs.heldout
    assert sum(pairs.dropped.values()) == 1


def test_a_tie_does_not_move_a_label():
    rows = [Judged(1, "a"), Judged(2, "a"), Judged(3, "b")]
    (plain,) = build_pairs(rows, NONE_HELD).training
    (with_tie,) = build_pairs([*rows, Judged(4, "tie", None)], NONE_HELD).training
    assert plain == with_tie
    assert plain.label == pytest.approx(2 / 3)


def test_much_better_weighs_more():
    options = PairOptions(strong=2.0, heldout_share=0.0)
    rows = [Judged(1, "a", 2), Judged(2, "b", 1)]
    (pair,) = build_pairs(rows, options).training
    assert (pair.chosen, pair.label) == ("one", pytest.approx(2 / 3))


def test_an_imported_weight_counts():
    rows = [Judged(1, "a", weight=3.0), Judged(2, "b", weight=1.0)]
    (pair,) = build_pairs(rows, NONE_HELD).training
    assert pair.label == pytest.approx(0.75)
    assert build_pairs([Judged(1, "a", weight=0.0)], NONE_HELD).training == ()


def test_the_tokens_that_were_sampled_stay_with_their_text():
    (pair,) = build_pairs([Judged(1, "b", tokens_a=(1, 2), tokens_b=(3,))], NONE_HELD).training
    assert (pair.chosen_tokens, pair.rejected_tokens) == ((3,), (1, 2))


def test_smoothing_doubts_a_single_judgment():
    options = PairOptions(smoothing=0.5, heldout_share=0.0)
    (pair,) = build_pairs([Judged(1, "a")], options).training
    assert pair.label == pytest.approx(0.75)


def test_even_judgments_are_dropped_and_counted():
    pairs = build_pairs([Judged(1, "a"), Judged(2, "b")], NONE_HELD)
    assert pairs.training == ()
    assert pairs.dropped == {"evenly judged": 2}


def test_the_same_texts_in_two_comparisons_are_one_pair():
    rows = [Judged(1, "a"), Judged(2, "b", text_a="two", text_b="one")]
    (pair,) = build_pairs(rows, NONE_HELD).training
    assert pair.judgments == (1, 2) and pair.label == 1.0


def test_more_judgments_weigh_more_and_the_mean_is_one():
    rows = [Judged(1, "a"), Judged(2, "a"), Judged(3, "a"), Judged(4, "a", prompt="else")]
    first, second = build_pairs(rows, NONE_HELD).training
    assert first.weight == pytest.approx(3 * second.weight)
    assert (first.weight + second.weight) / 2 == pytest.approx(1.0)


def test_identical_and_empty_texts_are_dropped_with_their_reason():
    rows = [Judged(1, "a", text_a="x", text_b="x "), Judged(2, "a", text_b="  ")]
    assert build_pairs(rows, NONE_HELD).dropped == {"empty texts": 1, "identical texts": 1}


def test_heldout_prompts_stay_held_out_whatever_else_is_there():
    rows = [Judged(n, "a", prompt=f"prompt {n}") for n in range(300)]
    pairs = build_pairs(rows, PairOptions(heldout_share=0.2))
    assert 30 < len(pairs.heldout) < 90
    held = {pair.prompt for pair in pairs.heldout}
    fewer = build_pairs(rows[:150], PairOptions(heldout_share=0.2))
    assert {pair.prompt for pair in fewer.heldout} <= held
    assert not held & {pair.prompt for pair in pairs.training}
    assert all(is_heldout(key, 0.2) for key in held)


@pytest.mark.parametrize(
    ("name", "value"),
    [("strong", 0.5), ("smoothing", -1.0), ("even", 0.5), ("heldout_share", 1.0)],
)
def test_bad_options_are_refused_by_name(name, value):
    with pytest.raises(ConfigRefused, match=name):
        PairOptions(**{name: value})


verdicts = st.sampled_from(["a", "b", "tie", "both_bad"])
rows_of = st.lists(
    st.tuples(
        verdicts,
        st.sampled_from([1, 2]),
        st.sampled_from(["x", "y", "z", ""]),
        st.sampled_from(["x", "y", "w", " "]),
        st.sampled_from(["p", "q", "r"]),
    ),
    max_size=30,
)


@given(rows_of, st.integers(0, 1000), st.floats(0.0, 2.0), st.floats(0.0, 0.4))
def test_every_judgment_is_used_or_counted_and_order_never_matters(raw, seed, smoothing, even):
    rows = [
        Judged(n, v, s if v in "ab" else None, a, b, p) for n, (v, s, a, b, p) in enumerate(raw)
    ]
    options = PairOptions(smoothing=smoothing, even=even, heldout_share=0.3)
    pairs = build_pairs(rows, options)
    assert pairs.used + sum(pairs.dropped.values()) == pairs.judgments == len(rows)
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert build_pairs(shuffled, options) == pairs
    mirrored = [
        Judged(
            r.judgment_id, {"a": "b", "b": "a"}.get(r.verdict, r.verdict), r.strength,
            r.text_b, r.text_a, r.prompt,
        )
        for r in rows
    ]  # fmt: skip
    assert build_pairs(mirrored, options) == pairs
    for pair in (*pairs.training, *pairs.heldout):
        assert 0.5 + even < pair.label <= 1.0 and pair.weight > 0
        assert pair.chosen != pair.rejected
        assert all(rows[j].verdict in "ab" for j in pair.judgments)
        assert pair.prompt == prompt_key(pair.messages)


WITH_TIES = PairOptions(heldout_share=0.0, ties="rao_kupper")


def test_judgments_that_together_say_tie_are_a_tie_pair_where_the_run_wants_ties():
    rows = [
        Judged(1, "tie", None),
        Judged(2, "tie", None),
        Judged(3, "a"),
        Judged(4, "b", prompt="p"),
    ]
    pairs = build_pairs(rows, WITH_TIES)
    tie, won = pairs.training
    assert (tie.tie, tie.label, tie.judgments) == (True, 0.5, (1, 2))
    assert (tie.chosen, tie.rejected) == ("one", "two") and tie.weight == pytest.approx(4 / 3)
    assert not won.tie and won.judgments == (4,)
    assert pairs.dropped == {"outweighed by ties": 1}


def test_ties_that_do_not_outweigh_both_texts_leave_the_label_to_the_others():
    rows = [Judged(1, "tie", None), Judged(2, "a"), Judged(3, "tie", None), Judged(4, "a", 2)]
    (pair,) = build_pairs(rows, WITH_TIES).training
    assert (pair.tie, pair.label, pair.judgments) == (False, 1.0, (2, 4))
    pairs = build_pairs([Judged(1, "tie", None), Judged(2, "a"), Judged(3, "b")], WITH_TIES)
    assert pairs.training == ()
    assert pairs.dropped == {"evenly judged": 2, "ties beside other judgments": 1}


def test_judgments_of_no_weight_are_dropped_under_their_own_reason():
    assert build_pairs([Judged(1, "a", weight=0.0)], NONE_HELD).dropped == {"of no weight": 1}


def test_unknown_ways_with_ties_are_refused():
    with pytest.raises(ConfigRefused, match="ties must be one of drop, rao_kupper, got 'half'"):
        PairOptions(ties="half")


@given(rows_of, st.integers(0, 1000))
def test_with_ties_too_every_judgment_is_used_once_or_counted(raw, seed):
    rows = [
        Judged(n, v, s if v in "ab" else None, a, b, p) for n, (v, s, a, b, p) in enumerate(raw)
    ]
    options = PairOptions(heldout_share=0.3, ties="rao_kupper")
    pairs = build_pairs(rows, options)
    assert pairs.used + sum(pairs.dropped.values()) == pairs.judgments == len(rows)
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert build_pairs(shuffled, options) == pairs
    both = [*pairs.training, *pairs.heldout]
    assert len({pair.key for pair in both}) == len(both)
    for pair in both:
        verdicts_behind = {rows[j].verdict for j in pair.judgments}
        assert verdicts_behind == {"tie"} if pair.tie else verdicts_behind <= {"a", "b"}


def test_earlier_rounds_come_back_as_their_share_and_no_pair_twice():
    from training.dpo_config import DPOConfig
    from training.rounds import fresh_and_earlier

    rows = [Judged(n, "a", prompt=f"prompt {n}") for n in range(100)]
    known = set(range(60))
    # Six old pairs are judged again: they are new ones now, and come once.
    rows += [Judged(100 + n, "a", prompt=f"prompt {n}") for n in range(6)]
    pairs = build_pairs(rows, NONE_HELD).training
    fresh, earlier = fresh_and_earlier(pairs, known, DPOConfig(earlier=0.3))
    assert len(fresh) == 46 and len(earlier) == round(0.3 * 46)
    keys = [pair.key for pair in (*fresh, *earlier)]
    assert len(set(keys)) == len(keys)
    assert all(known.issuperset(pair.judgments) for pair in earlier)
    again = fresh_and_earlier(pairs, known, DPOConfig(earlier=0.3))
    assert again == (fresh, earlier), "the same pairs, whenever it is asked"
    assert fresh_and_earlier(pairs, known, DPOConfig(earlier=0.3, seed=8))[1] != earlier
    assert fresh_and_earlier(pairs, known, DPOConfig(earlier=0.0))[1] == []
