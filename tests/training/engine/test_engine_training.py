"""Gradients, accumulation and the optimiser, through the unmodified SDK."""

import numpy as np
import pytest
import torch
from sdk_values import checkpoint_folder, datum, factors_of, plain_model, tokens
from tinker import types

BETA = 0.1


def new_model(client, tiny, rank=4, seed=3, **kwargs):
    return client.create_lora_training_client(str(tiny), rank=rank, seed=seed, **kwargs).result()


def warmed(client, tiny, **kwargs):
    """A model whose B is not zero any more, so that all gradients mean something."""
    model = new_model(client, tiny, **kwargs)
    model.forward_backward([datum(tokens(1, 20))], "cross_entropy").result()
    model.optim_step(types.AdamParams(learning_rate=0.05)).result()
    return model


def saved_factors(running, model, name) -> dict[str, torch.Tensor]:
    return factors_of(checkpoint_folder(running, model.save_state(name).result().path))


def sgd_gradient(running, client, tiny, submit) -> tuple[dict, dict, object]:
    """The gradient that the engine gathered, read off a step with an eps so large that the step is
    proportional to the gradient (AdamW's first step is otherwise free of scale)."""
    model = warmed(client, tiny)
    start = model.save_state("start").result().path
    fresh = client.create_training_client_from_state(start).result()
    before = factors_of(checkpoint_folder(running, start))
    submit(fresh)
    # m/(1-b1) = g and sqrt(v/(1-b2)) = |g| << eps: the step is lr * g / eps.
    fresh.optim_step(types.AdamParams(learning_rate=1e9, beta1=0.0, beta2=0.0, eps=1e9)).result()
    after = saved_factors(running, fresh, "after")
    gradient = {name: before[name] - after[name] for name in before}
    return gradient, before, checkpoint_folder(running, start)


def direct_logprobs(model, data) -> list[torch.Tensor]:
    out = []
    for item in data:
        ids = torch.tensor([item.model_input.to_ints()])
        targets = torch.tensor(item.loss_fn_inputs["target_tokens"].data)
        logits = model(ids).logits[0].float()
        out.append(torch.log_softmax(logits, -1).gather(-1, targets[:, None])[:, 0])
    return out


def assert_same_gradient(gradient, model, tolerance=1e-4):
    found = torch.cat([gradient[k].flatten() for k in sorted(gradient)])
    wanted_by_name = {
        name.replace(".default", ""): p.grad
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    wanted = torch.cat([wanted_by_name[k].flatten() for k in sorted(gradient)])
    assert wanted.norm() > 1e-3
    assert float((found - wanted).norm() / wanted.norm()) < tolerance
    # Sign and scale, each by itself: a normalising server passes neither.
    assert float(found @ wanted / (found.norm() * wanted.norm())) > 0.9999
    assert float(found.norm() / wanted.norm()) == pytest.approx(1.0, rel=1e-3)


def test_dpo_gradients_through_forward_backward_custom_equal_direct_autograd(running, client, tiny):
    chosen = [datum(tokens(s, 14), [0.0] * 5 + [1.0] * 8) for s in range(3)]
    rejected = [datum(tokens(s + 50, 18), [0.0] * 5 + [1.0] * 12) for s in range(3)]
    data = [d for pair in zip(chosen, rejected, strict=True) for d in pair]
    with torch.no_grad():
        reference = [
            (lp * torch.tensor(d.loss_fn_inputs["weights"].data)).sum()
            for lp, d in zip(direct_logprobs(plain_model(tiny), data), data, strict=True)
        ]

    def dpo(data, logprobs):
        sums = [
            (lp * torch.tensor(d.loss_fn_inputs["weights"].data)).sum()
            for lp, d in zip(logprobs, data, strict=True)
        ]
        ratio = [s - r for s, r in zip(sums, reference, strict=True)]
        margins = torch.stack([ratio[i] - ratio[i + 1] for i in range(0, len(ratio), 2)])
        return -torch.nn.functional.logsigmoid(BETA * margins).mean(), {}

    results = []
    gradient, _, folder = sgd_gradient(
        running,
        client,
        tiny,
        lambda m: results.append(m.forward_backward_custom(data, dpo).result()),
    )
    model = plain_model(tiny, folder)
    loss, _ = dpo(data, direct_logprobs(model, data))
    loss.backward()
    assert results[0].metrics["loss:sum"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert_same_gradient(gradient, model)


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0, -0.1])
def test_signed_weights_scale_the_gradient_and_are_never_normalised(running, client, tiny, weight):
    data = [datum(tokens(7, 12), [weight] * 11), datum(tokens(8, 9), [-weight] * 8)]
    gradient, _, folder = sgd_gradient(
        running, client, tiny, lambda m: m.forward_backward(data, "cross_entropy").result()
    )
    model = plain_model(tiny, folder)
    lp = direct_logprobs(model, data)
    (-(weight * lp[0].sum() - weight * lp[1].sum())).backward()
    assert_same_gradient(gradient, model)


def test_gradients_add_up_over_calls_micro_batches_and_chunks(running, client, tiny):
    data = [datum(tokens(s, 5 + 37 * (s % 9))) for s in range(40)]  # many micro-batches

    def in_calls(model):
        for part in (data[:3], data[3:17], data[17:]):
            model.forward_backward(part, "cross_entropy")

    def in_chunks(model):
        before = model.holder._client_config
        model.holder._client_config = before.model_copy(update={"fwdbwd_max_chunk_len": 7})
        try:
            result = model.forward_backward(data, "cross_entropy").result()
        finally:
            model.holder._client_config = before
        assert len(result.loss_fn_outputs) == len(data)

    one, _, folder = sgd_gradient(
        running, client, tiny, lambda m: m.forward_backward(data, "cross_entropy").result()
    )
    model = plain_model(tiny, folder)
    (-sum(lp.sum() for lp in direct_logprobs(model, data))).backward()
    assert_same_gradient(one, model)
    for submit in (in_calls, in_chunks):
        other, _, _ = sgd_gradient(running, client, tiny, submit)
        for name in one:
            torch.testing.assert_close(other[name], one[name], rtol=1e-3, atol=1e-3)


def test_clipping_and_decay_equal_torch_adamw(running, client, tiny):
    model = warmed(client, tiny)
    start = model.save_state("clip-start").result().path
    fresh = client.create_training_client_from_state(start).result()
    reference = plain_model(tiny, checkpoint_folder(running, start))
    trained = [p for p in reference.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1)
    steps = [
        (0.01, 0.9, 0.95, 1e-8, 0.1, 0.5),
        (0.02, 0.8, 0.99, 1e-6, 0.0, 0.0),
        (0.005, 0.9, 0.95, 1e-12, 0.3, 1e6),
    ]
    for i, (lr, b1, b2, eps, wd, clip) in enumerate(steps):
        data = [datum(tokens(20 + i, 25))]
        fresh.forward_backward(data, "cross_entropy")
        told = fresh.optim_step(
            types.AdamParams(
                learning_rate=lr, beta1=b1, beta2=b2, eps=eps, weight_decay=wd, grad_clip_norm=clip
            )
        ).result()
        optimizer.zero_grad()
        (-sum(lp.sum() for lp in direct_logprobs(reference, data))).backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, clip if clip else 1e30)
        assert told.metrics["grad_norm:mean"] == pytest.approx(float(norm), rel=1e-4)
        optimizer.param_groups[0].update(lr=lr, betas=(b1, b2), eps=eps, weight_decay=wd)
        optimizer.step()
    found = saved_factors(running, fresh, "clip-end")
    for name, p in reference.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(
                found[name.replace(".default", "")], p.detach(), rtol=2e-3, atol=2e-4
            )


def test_the_reported_logprobs_are_for_every_position_whatever_its_weight(client, tiny):
    item = datum(tokens(4, 30), [0.0] * 15 + [1.0] * 14)
    result = new_model(client, tiny).forward([item], "cross_entropy").result()
    wanted = direct_logprobs(plain_model(tiny), [item])[0].detach()
    found = torch.tensor(result.loss_fn_outputs[0]["logprobs"].data)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert result.metrics["loss:sum"] == pytest.approx(float(-wanted[15:].sum()), rel=1e-4)


def test_several_targets_a_position_give_a_logprob_each(client, tiny):
    ids = tokens(5, 6)
    targets = torch.tensor([tokens(10 + i, 3) for i in range(6)])
    weights = torch.rand(6, 3)
    item = types.Datum(
        model_input=types.ModelInput.from_ints(ids),
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_torch(targets),
            "weights": types.TensorData.from_torch(weights),
        },
    )
    result = new_model(client, tiny).forward([item], "cross_entropy").result()
    with torch.no_grad():
        logits = plain_model(tiny)(torch.tensor([ids])).logits[0]
    wanted = torch.log_softmax(logits, -1).gather(-1, targets)
    found = result.loss_fn_outputs[0]["logprobs"]
    assert found.shape == [6, 3]
    torch.testing.assert_close(torch.tensor(found.data).view(6, 3), wanted, rtol=1e-4, atol=1e-5)
    assert result.metrics["loss:sum"] == pytest.approx(float(-(wanted * weights).sum()), rel=1e-4)


@pytest.mark.parametrize("loss", ["importance_sampling", "ppo", "cispo", "dro"])
def test_policy_gradient_losses_equal_their_formulas(running, client, tiny, loss):
    ids = tokens(11, 16)
    rng = np.random.default_rng(0)
    old = torch.tensor(rng.normal(-5.0, 0.8, 15), dtype=torch.float32)
    advantages = torch.tensor(rng.normal(0, 1, 15), dtype=torch.float32)
    item = types.Datum(
        model_input=types.ModelInput.from_ints(ids[:-1]),
        loss_fn_inputs={
            "target_tokens": ids[1:],
            "logprobs": types.TensorData.from_torch(old),
            "advantages": types.TensorData.from_torch(advantages),
        },
    )
    short = types.Datum(
        model_input=types.ModelInput.from_ints(ids[:4]),
        loss_fn_inputs={"target_tokens": ids[1:5], "logprobs": [0.0] * 4, "advantages": [0.0] * 4},
    )
    results = []
    gradient, _, folder = sgd_gradient(
        running,
        client,
        tiny,
        lambda m: results.append(m.forward_backward([item], loss).result()),
    )
    model = plain_model(tiny, folder)
    lp = direct_logprobs(model, [item])[0]
    ratio = torch.exp(lp - old)
    wanted = {
        "importance_sampling": lambda: -(ratio * advantages).sum(),
        "ppo": lambda: -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).sum(),
        "cispo": lambda: -(ratio.clamp(0.8, 1.2).detach() * lp * advantages).sum(),
        "dro": lambda: -(lp * advantages - 0.5 * 0.05 * (lp - old) ** 2).sum(),
    }[loss]()
    wanted.backward()
    assert results[0].metrics["loss:sum"] == pytest.approx(float(wanted.detach()), rel=1e-3)
    assert_same_gradient(gradient, model)
    # Padding of a shorter neighbour adds nothing but its own (here: dro's) real positions.
    both = new_model(client, tiny).forward([item, short], loss).result()
    alone = [new_model(client, tiny).forward([d], loss).result() for d in (item, short)]
    assert both.metrics["loss:sum"] == pytest.approx(
        sum(r.metrics["loss:sum"] for r in alone), rel=1e-4
    )


def test_several_models_train_side_by_side_without_touching_each_other(running, client, tiny):
    a, b = new_model(client, tiny, seed=1), new_model(client, tiny, rank=8, seed=2)
    alone = new_model(client, tiny, seed=1)
    for i in range(3):
        futures = []
        for model in (a, b):
            futures.append(model.forward_backward([datum(tokens(i, 30))], "cross_entropy"))
            futures.append(model.optim_step(types.AdamParams(learning_rate=0.01)))
        for future in futures:
            future.result()
        alone.forward_backward([datum(tokens(i, 30))], "cross_entropy").result()
        alone.optim_step(types.AdamParams(learning_rate=0.01)).result()
    left, right = saved_factors(running, a, "s"), saved_factors(running, alone, "s")
    assert all(torch.equal(left[k], right[k]) for k in left)


def test_the_trained_layers_follow_the_switches_and_alpha_follows_the_rank(running, client, tiny):
    import json

    model = new_model(client, tiny, rank=8, train_mlp=False)
    folder = checkpoint_folder(running, model.save_state("attn").result().path)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["lora_alpha"] == 16
    assert config["r"] == 8
    assert config["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]
    other = new_model(client, tiny, rank=4, train_attn=False, user_metadata={"lora_alpha": "32"})
    folder = checkpoint_folder(running, other.save_state("mlp").result().path)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["lora_alpha"] == 32
    assert config["target_modules"] == ["down_proj", "gate_proj", "up_proj"]


def test_a_gradient_that_is_not_finite_is_refused_and_leaves_the_weights_alone(
    running, client, tiny
):
    import tinker

    model = warmed(client, tiny)
    before = saved_factors(running, model, "before")
    model.forward_backward([datum(tokens(1, 20), [3e38] * 19)], "cross_entropy").result()
    with pytest.raises(tinker.RequestFailedError, match="not finite"):
        model.optim_step(types.AdamParams()).result()
    after = saved_factors(running, model, "after")
    assert all(torch.equal(before[k], after[k]) for k in before)
    model.forward_backward([datum(tokens(1, 20))], "cross_entropy").result()
    model.optim_step(types.AdamParams()).result()
