"""Sampling, through the compute directly and through the SDK."""

import numpy as np
import pytest
import torch
from sdk_values import datum, plain_model, tokens
from tinker import types
from tiny import make_tiny

from training.engine.compute.base import BaseModel
from training.engine.compute.picking import Numbers, Settings, pick
from training.engine.compute.sampling import Cohort, sample_now
from training.engine.compute.tasks import rows_of
from training.engine.messages import SampleRequest, SamplingParams


def request(prompt, n=1, **params) -> SampleRequest:
    return SampleRequest("", np.array(prompt), n, SamplingParams(**params))


@pytest.mark.parametrize("family", ["llama", "qwen2", "neox", "gpt2", "mistral", "gemma3"])
def test_greedy_sampling_in_a_batch_equals_transformers_generate(tmp_path, family):
    base = BaseModel(make_tiny(tmp_path / family, family))
    prompts = [tokens(i, n) for i, n in enumerate((3, 17, 9, 30, 9))]
    found = sample_now(
        base,
        [
            request(p, max_tokens=20 + 3 * i, temperature=0.0, stop_at_eos=False)
            for i, p in enumerate(prompts)
        ],
    )
    model = plain_model(tmp_path / family)
    for i, (prompt, result) in enumerate(zip(prompts, found, strict=True)):
        n = 20 + 3 * i
        whole = model.generate(
            torch.tensor([prompt]),
            max_new_tokens=n,
            min_new_tokens=n,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )[0]
        assert result.sequences[0].tokens.tolist() == whole[len(prompt) :].tolist()
        logits = model(whole[None]).logits[0].float()
        wanted = torch.log_softmax(logits, -1)[:-1].gather(-1, whole[1:, None])[
            len(prompt) - 1 :, 0
        ]
        torch.testing.assert_close(
            torch.tensor(result.sequences[0].logprobs), wanted.detach(), rtol=1e-3, atol=1e-4
        )


def test_a_seed_gives_the_same_sequences_alone_and_in_any_batch(base):
    prompts = [tokens(i, 5 + 3 * i) for i in range(8)]
    kinds = [{}, {"top_p": 0.8}, {"top_k": 7}, {"top_k": 20, "top_p": 0.7}, {"temperature": 0.5}]
    requests = [
        request(p, n=3, max_tokens=15 + i, seed=100 + i, stop_at_eos=False, **kinds[i % 5])
        for i, p in enumerate(prompts)
    ]
    together = sample_now(base, requests)
    for wanted, alone in zip(together, requests, strict=True):
        found = sample_now(base, [alone])[0]
        for a, b in zip(wanted.sequences, found.sequences, strict=True):
            assert a.tokens.tolist() == b.tokens.tolist()
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
    distinct = {tuple(s.tokens.tolist()) for s in together[0].sequences}
    assert len(distinct) == 3


@pytest.mark.parametrize(
    ("params", "allowed"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 2}, {0, 1}),
        ({"top_p": 0.75}, {0, 1}),
        ({"top_p": 0.85}, {0, 1, 2}),
        # Of the top three (0.5, 0.3, 0.15 of 0.95) the nucleus of 0.8 is the first two.
        ({"top_k": 3, "top_p": 0.8}, {0, 1}),
    ],
)
def test_draws_follow_the_filtered_and_renormalised_distribution(params, allowed):
    p = torch.tensor([0.5, 0.3, 0.15, 0.05])
    n = 4000
    logits = p.log().repeat(n, 1)
    settings = Settings.of([SamplingParams(**params)] * n, 4, torch.device("cpu"))
    streams = [Numbers(i) for i in range(n)]
    drawn = pick(logits, settings, lambda i: streams[i].next())
    counts = torch.bincount(drawn, minlength=4) / n
    wanted = torch.tensor([float(p[i]) if i in allowed else 0.0 for i in range(4)])
    wanted = wanted / wanted.sum()
    assert set(drawn.tolist()) <= allowed
    torch.testing.assert_close(counts, wanted, atol=0.03, rtol=0)


@pytest.mark.parametrize("temperature", [1e-45, 1e-40, 1e-20, 1e-7])
def test_a_temperature_near_zero_takes_the_likeliest_token(base, temperature):
    prompt = tokens(3, 10)
    cold, greedy = sample_now(
        base,
        [
            request(prompt, max_tokens=8, temperature=t, seed=1, stop_at_eos=False)
            for t in (temperature, 0.0)
        ],
    )
    assert cold.sequences[0].tokens.tolist() == greedy.sequences[0].tokens.tolist()


def test_a_stop_text_is_looked_for_in_the_text_as_it_is(base, tokenizer, monkeypatch):
    monkeypatch.setattr(base.tokenizer, "clean_up_tokenization_spaces", True)
    _, (row,) = rows_of(base, request([5], stop_texts=(" .",)))
    row.tokens = tokenizer.encode("it ends .")
    cohort = Cohort.__new__(Cohort)
    cohort.base = base
    assert cohort._text_stop(row), "some tokenizers' cleaning would join the two"


def test_a_low_top_k_over_a_flat_distribution_is_still_honoured():
    logits = torch.arange(1000.0).repeat(300, 1) * 1e-3
    settings = Settings.of([SamplingParams(top_k=3)] * 300, 1000, torch.device("cpu"))
    streams = [Numbers(i) for i in range(300)]
    assert set(pick(logits, settings, lambda i: streams[i].next()).tolist()) == {997, 998, 999}


def test_stop_tokens_and_texts_end_a_sequence_and_stay_in_it(base, tokenizer):
    prompt = tokens(2, 8)
    free = sample_now(base, [request(prompt, max_tokens=40, temperature=0.0, stop_at_eos=False)])
    whole = free[0].sequences[0].tokens.tolist()
    token = whole[7]
    cut = sample_now(
        base,
        [request(prompt, max_tokens=40, temperature=0.0, stop_tokens=(token,), stop_at_eos=False)],
    )[0].sequences[0]
    assert cut.tokens.tolist() == whole[: whole.index(token) + 1]
    assert cut.stopped
    # A text that begins in the middle of the sequence, over token borders where they allow it.
    text = tokenizer.decode(whole[5:8])
    if "\ufffd" not in text:
        ended = sample_now(
            base,
            [
                request(
                    prompt, max_tokens=40, temperature=0.0, stop_texts=(text,), stop_at_eos=False
                )
            ],
        )[0].sequences[0]
        assert text in tokenizer.decode(ended.tokens.tolist())
        assert text not in tokenizer.decode(ended.tokens.tolist()[:-1])


def test_a_stop_text_across_token_borders_is_found(client, tiny, tokenizer):
    sampler = client.create_sampling_client(base_model=str(tiny)).result()
    prompt = types.ModelInput.from_ints(tokenizer.encode("once upon"))
    for seed in range(40):
        params = types.SamplingParams(max_tokens=30, seed=seed, stop=[])
        free = sampler.sample(prompt, 1, params).result().sequences[0].tokens
        printable = [i for i in range(10, 28) if all(36 <= t <= 96 for t in free[i : i + 2])]
        if printable:
            break
    i = printable[0]
    text = tokenizer.decode(free[i : i + 2])
    assert len(text) == 2
    params = types.SamplingParams(max_tokens=30, seed=seed, stop=[text])
    cut = sampler.sample(prompt, 1, params).result().sequences[0]
    assert text in tokenizer.decode(cut.tokens)
    assert cut.stop_reason == "stop" or 3 in cut.tokens


def test_stop_none_ends_at_eos_and_an_empty_list_at_nothing(tiny, client):
    model = client.create_lora_training_client(str(tiny), rank=8, seed=0).result()
    item = datum([7, 8, 9, 3, 3, 3, 3, 3])
    for _ in range(25):
        model.forward_backward([item], "cross_entropy")
        model.optim_step(types.AdamParams(learning_rate=0.03)).result()
    sampler = model.save_weights_and_get_sampling_client().result()
    prompt = types.ModelInput.from_ints([7, 8, 9])
    ended = sampler.sample(prompt, 1, types.SamplingParams(max_tokens=12, temperature=0)).result()
    assert ended.sequences[0].tokens == [3]
    assert ended.sequences[0].stop_reason == "stop"
    endless = sampler.sample(
        prompt, 1, types.SamplingParams(max_tokens=12, temperature=0, stop=[])
    ).result()
    assert len(endless.sequences[0].tokens) == 12
    assert endless.sequences[0].stop_reason == "length"


def test_prompt_logprobs_equal_forward_and_their_suffix_hides_the_rest(client, tiny):
    ids = tokens(6, 25)
    sampler = client.create_sampling_client(base_model=str(tiny)).result()
    found = sampler.compute_logprobs(types.ModelInput.from_ints(ids)).result()
    model = client.create_lora_training_client(str(tiny), rank=2).result()
    forward = model.forward([datum(ids)], "cross_entropy").result()
    assert found[0] is None
    np.testing.assert_allclose(found[1:], forward.loss_fn_outputs[0]["logprobs"].data, atol=1e-4)
    part = sampler.sample(
        types.ModelInput.from_ints(ids),
        1,
        types.SamplingParams(max_tokens=1),
        include_prompt_logprobs=True,
        prompt_logprobs_last_n=4,
    ).result()
    assert part.prompt_logprobs[:-4] == [None] * 21
    np.testing.assert_allclose(part.prompt_logprobs[-4:], found[-4:], atol=1e-4)


def test_top_k_logprobs_of_prompt_and_samples_begin_with_the_likeliest(client, tiny):
    ids = tokens(6, 10)
    sampler = client.create_sampling_client(base_model=str(tiny)).result()
    result = sampler.sample(
        types.ModelInput.from_ints(ids),
        2,
        types.SamplingParams(max_tokens=5, temperature=0, stop=[]),
        include_prompt_logprobs=True,
        topk_prompt_logprobs=3,
        topk_sample_logprobs=2,
    ).result()
    with torch.no_grad():
        logits = plain_model(tiny)(torch.tensor([ids])).logits[0]
    values, indices = torch.log_softmax(logits, -1).topk(3)
    top = result.topk_prompt_logprobs
    assert [t for t, _ in top[5]] == indices[4].tolist()
    np.testing.assert_allclose([lp for _, lp in top[5]], values[4].tolist(), atol=1e-4)
    sequence = result.sequences[0]
    assert [row[0][0] for row in sequence.topk_logprobs] == sequence.tokens
    np.testing.assert_allclose([row[0][1] for row in sequence.topk_logprobs], sequence.logprobs)


def test_64_concurrent_requests_give_what_each_gives_alone(client, tiny):
    sampler = client.create_sampling_client(base_model=str(tiny)).result()
    prompts = [types.ModelInput.from_ints(tokens(i, 4 + i % 13)) for i in range(64)]
    params = [
        types.SamplingParams(max_tokens=10 + i % 7, seed=i, top_p=0.9, stop=[]) for i in range(64)
    ]
    futures = [sampler.sample(p, 1, q) for p, q in zip(prompts, params, strict=True)]
    together = [f.result().sequences[0].tokens for f in futures]
    for i in (0, 13, 31, 63):
        assert sampler.sample(prompts[i], 1, params[i]).result().sequences[0].tokens == together[i]
    assert all(len(t) == 10 + i % 7 for i, t in enumerate(together))


def test_many_samples_of_one_prompt_and_two_adapters_at_once(client, tiny):
    samplers = [client.create_sampling_client(base_model=str(tiny)).result()]
    model = client.create_lora_training_client(str(tiny), rank=4, seed=1).result()
    model.forward_backward([datum(tokens(1, 30))], "cross_entropy")
    model.optim_step(types.AdamParams(learning_rate=0.05)).result()
    samplers.append(model.save_weights_and_get_sampling_client().result())
    prompt = types.ModelInput.from_ints(tokens(3, 9))
    greedy = types.SamplingParams(max_tokens=12, temperature=0, stop=[])
    alone = [s.sample(prompt, 1, greedy).result().sequences[0].tokens for s in samplers]
    futures = [samplers[i % 2].sample(prompt, 20, greedy) for i in range(6)]
    assert alone[0] != alone[1]
    for i, future in enumerate(futures):
        sequences = future.result().sequences
        assert len(sequences) == 20
        assert all(s.tokens == alone[i % 2] for s in sequences)


def test_long_generations_and_training_do_not_wait_for_each_other(client, tiny):
    import time

    sampler = client.create_sampling_client(base_model=str(tiny)).result()
    model = client.create_lora_training_client(str(tiny), rank=4).result()
    long = sampler.sample(
        types.ModelInput.from_ints(tokens(1, 5)), 64, types.SamplingParams(max_tokens=450, stop=[])
    )
    time.sleep(0.05)
    began = time.perf_counter()
    for _ in range(3):
        model.forward_backward([datum(tokens(1, 30))], "cross_entropy")
        model.optim_step(types.AdamParams()).result()
    trained = time.perf_counter() - began
    quick = sampler.sample(
        types.ModelInput.from_ints(tokens(2, 5)), 1, types.SamplingParams(max_tokens=3, stop=[])
    )
    quick.result()
    assert not long.future().done(), "the long generation ended too early to show anything"
    assert trained < 30
    assert all(len(s.tokens) == 450 for s in long.result().sequences)


def test_an_abandoned_request_is_cancelled(running, client, tiny):
    sampler = client.create_sampling_client(base_model=str(tiny)).result()
    session = sampler._sampling_session_id
    body = {
        "sampling_session_id": session,
        "seq_id": 9001,
        "num_samples": 8,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [5, 6, 7]}]},
        "sampling_params": {"max_tokens": 500, "stop": []},
    }
    told = running.post("/asample", body).json()
    running.post("/cancel_future", {"request_id": told["request_id"]})
    reply = running.post("/retrieve_future", {"request_id": told["request_id"]})
    assert reply.status_code == 200
