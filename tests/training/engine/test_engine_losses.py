"""What a run sends for each of its losses gives the gradient that autograd gives directly."""

import math

import pytest
import torch
from sdk_values import plain_model, tokens
from test_engine_training import assert_same_gradient, direct_logprobs, sgd_gradient

from training.datums import EncodedPair, TokenSequence, sides_of
from training.dpo_config import DPOConfig
from training.dpo_loss import loss_of
from training.reference import HeldTo


def side(seed: int, length: int) -> TokenSequence:
    ids = tokens(seed, 5 + length)
    return TokenSequence(tuple(ids[:5]), tuple(ids[5:]))


def pairs(ties: bool) -> list[EncodedPair]:
    labels, weights = (1.0, 0.8, 0.9, 0.5), (1.0, 0.25, 7.0, 2.0)
    return [
        EncodedPair(side(n, 8 + n), side(n + 50, 12), p, w, (n,), str(n), ties and p == 0.5)
        for n, (p, w) in enumerate(zip(labels, weights, strict=True))
        if ties or p > 0.5
    ]


RUNS = {
    "sigmoid": {"beta": 0.1},
    "sigmoid with NLL": {"beta": 0.1, "nll_weight": 0.5},
    "ipo": {"beta": 0.3},
    "ipo summed": {"loss": "ipo", "beta": 0.3, "length_average": False},
    "hinge": {"beta": 0.1},
    "robust": {"beta": 0.1, "label_smoothing": 0.1},
    "simpo": {"beta": 2.0, "gamma": 0.5},
    "orpo": {"beta": 0.2},
    "ties": {
        "loss": "rao_kupper_win",
        "beta": 0.2,
        "alpha": math.log(3),
        "ties": "rao_kupper",
        "nll_weight": 0.5,
    },
}


@pytest.mark.parametrize("name", RUNS)
def test_the_gradient_on_adapter_weights_equals_autograd(running, client, tiny, name):
    config = DPOConfig(**{"loss": name.split()[0], **RUNS[name]})
    batch = pairs(ties=name == "ties")
    sides = sides_of(batch)
    plain = [one.datum() for one in sides]
    with torch.no_grad():
        per_token = direct_logprobs(plain_model(tiny), plain)
    known = {
        one.sha256: float(lp[len(one.prompt) - 1 :].sum())
        for one, lp in zip(sides, per_token, strict=True)
    }
    data = HeldTo(known, known).data(batch)
    told: dict = {}
    loss = loss_of(batch, data, config, told)
    sent = []
    gradient, _, folder = sgd_gradient(
        running, client, tiny, lambda m: sent.append(m.forward_backward_custom(data, loss).result())
    )
    model = plain_model(tiny, folder)
    wanted = directly(batch, direct_logprobs(model, plain), known, config)
    wanted.backward()
    assert sent[0].metrics["loss:sum"] == pytest.approx(float(wanted.detach()), rel=1e-4)
    assert_same_gradient(gradient, model)
    assert told["kl"] == told["kl_base"] and told["ties"] == (1 if name == "ties" else 0)


def directly(batch, logprobs, known, config):
    """The loss written out once more, pair by pair, from the papers."""
    sums = [
        lp[len(one.prompt) - 1 :].sum() for one, lp in zip(sides_of(batch), logprobs, strict=True)
    ]
    logsigmoid = torch.nn.functional.logsigmoid
    total, nll, counted = torch.zeros(()), torch.zeros(()), 0.0
    for n, pair in enumerate(batch):
        c, r = sums[2 * n], sums[2 * n + 1]
        gain_c, gain_r = c - known[pair.chosen.sha256], r - known[pair.rejected.sha256]
        long_c, long_r = len(pair.chosen.completion), len(pair.rejected.completion)
        h = config.beta * (gain_c - gain_r)
        if config.loss == "ipo" and config.length_average is not False:
            gain_c, gain_r = gain_c / long_c, gain_r / long_r
        delta, log_odds = gain_c - gain_r, _log_odds(c / long_c) - _log_odds(r / long_r)

        def one_way(sign, h=h, delta=delta, c=c, r=r, long_c=long_c, long_r=long_r, odds=log_odds):
            eps, alpha = config.label_smoothing or 0.0, config.alpha or 0.0
            return {
                "sigmoid": lambda: -logsigmoid(sign * h),
                "ipo": lambda: (sign * delta - 1 / (2 * config.beta)) ** 2,
                "hinge": lambda: torch.relu(1 - sign * h),
                "robust": lambda: (
                    (eps * logsigmoid(-sign * h) - (1 - eps) * logsigmoid(sign * h)) / (1 - 2 * eps)
                ),
                "simpo": lambda: (
                    -logsigmoid(sign * config.beta * (c / long_c - r / long_r) - config.gamma)
                ),
                "orpo": lambda: -config.beta * logsigmoid(sign * odds),
                "rao_kupper_win": lambda: -logsigmoid(sign * h - alpha),
            }[config.loss]()

        if pair.tie:
            alpha = config.alpha
            cost = (
                -logsigmoid(h - alpha) - logsigmoid(-h - alpha) - math.log(math.exp(2 * alpha) - 1)
            )
        else:
            cost = pair.label * one_way(1) + (1 - pair.label) * one_way(-1)
            cost = cost - (c / long_c if config.loss == "orpo" else 0)
            nll, counted = nll - pair.weight * c, counted + pair.weight * long_c
        total = total + pair.weight * cost
    return total / len(batch) + config.nll_weight * nll / counted


def _log_odds(x):
    return x - torch.log1p(-torch.exp(x))
