"""The contract that training relies on, asked of the local engine and of hosted Tinker alike.

The local engine always; hosted Tinker where ``TINKER_API_KEY`` and ``PERSONALOOP_HOSTED_MODEL`` are
set (``TINKER_BASE_URL`` where it is elsewhere). What is asked costs cents: a few short sequences.
Nothing here knows which of the two it talks to.
"""

import math
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
import tinker
from sdk_values import datum
from serving import KEY
from tinker import types

HOSTED_KEY = os.environ.get("TINKER_API_KEY")
HOSTED_MODEL = os.environ.get("PERSONALOOP_HOSTED_MODEL")
WHY_NOT = "hosted Tinker is asked only with TINKER_API_KEY and PERSONALOOP_HOSTED_MODEL"
TOLERANCE = {"local": 1e-4, "hosted": 5e-2}
"""Nats a token by which two ways of computing one log-probability may differ."""


@dataclass
class Place:
    """A service, and what a test needs to know of it."""

    name: str
    client: tinker.ServiceClient
    rest: tinker.RestClient
    model: str

    @property
    def near(self) -> float:
        return TOLERANCE[self.name]

    def new(self, seed=5):
        made = self.client.create_lora_training_client(
            self.model, rank=8, seed=seed, user_metadata={"purpose": "contract test"}
        )
        return made.result()


@pytest.fixture(
    scope="module",
    params=[
        "local",
        pytest.param(
            "hosted",
            marks=[
                pytest.mark.hosted,
                pytest.mark.skipif(not (HOSTED_KEY and HOSTED_MODEL), reason=WHY_NOT),
            ],
        ),
    ],
)
def place(request):
    if request.param == "hosted":
        yield Place("hosted", tinker.ServiceClient(), tinker.RestClient(), HOSTED_MODEL or "")
        return
    running, tiny = (request.getfixturevalue(name) for name in ("running", "tiny"))
    rest = tinker.RestClient(base_url=running.url, api_key=KEY)
    yield Place("local", running.client(), rest, str(tiny))


@pytest.fixture(scope="module")
def trained(place):
    """A model after one step, so that neither of its factors is zero."""
    model = place.new()
    model.forward_backward([datum(sequence(0))], "cross_entropy")
    model.optim_step(types.AdamParams(learning_rate=1e-3)).result()
    return model


def sequence(seed: int, n: int = 14) -> list[int]:
    """Plain tokens that every vocabulary has."""
    return np.random.default_rng(seed).integers(40, 200, n).tolist()


def logprobs(model, data):
    outputs = model.forward(data, "cross_entropy").result().loss_fn_outputs
    return [output["logprobs"].to_numpy().reshape(-1) for output in outputs]


def name() -> str:
    return f"contract-{secrets.token_hex(4)}"


def test_the_model_is_served_with_its_longest_sequence(place):
    models = place.rest.get_server_capabilities().result().supported_models
    (found,) = [one for one in models if one.model_name == place.model]
    assert found.trainable is not False
    assert found.max_context_length is None or found.max_context_length >= 256


def test_cross_entropy_is_the_weighted_sum_and_is_not_normalised(place, trained):
    weights = [0.0, 2.0, -0.5] + [1.0] * 10
    data = [datum(sequence(1), weights), datum(sequence(2))]
    told = trained.forward(data, "cross_entropy").result()
    rows = [o["logprobs"].to_numpy().reshape(-1) for o in told.loss_fn_outputs]
    wanted = -(np.dot(rows[0], weights) + rows[1].sum())
    assert told.metrics["loss:sum"] == pytest.approx(wanted, rel=1e-3)
    assert all(len(row) == 13 for row in rows), "one a target, in the order asked"


def test_a_custom_loss_moves_the_weights_against_its_gradient_whatever_its_scale(place):
    def difference(scale):
        model = place.new()
        data = [datum(sequence(3)), datum(sequence(4))]

        def loss(data, rows):
            return scale * (rows[1].sum() - rows[0].sum()), {}

        before = logprobs(model, data)
        for _ in range(2):
            model.forward_backward_custom(data, loss)
            model.optim_step(types.AdamParams(learning_rate=1e-3))
        after = logprobs(model, data)
        gains = [float(b.sum() - a.sum()) for a, b in zip(before, after, strict=True)]
        return gains[0] - gains[1]

    plus, minus = difference(1.0), difference(-1.0)
    assert plus > 0 > minus
    # AdamW forgets the scale of a gradient, so a hundredth of it goes nearly as far.
    assert difference(0.01) == pytest.approx(plus, rel=0.3)


def test_a_saved_state_comes_back_with_weights_and_optimizer(place, trained):
    data = [datum(sequence(5))]
    path = trained.save_state(name(), ttl_seconds=3600).result().path
    back = place.client.create_training_client_from_state_with_optimizer(path).result()
    assert logprobs(back, data)[0] == pytest.approx(logprobs(trained, data)[0], abs=place.near)
    for model in (trained, back):
        model.forward_backward(data, "cross_entropy")
        model.optim_step(types.AdamParams(learning_rate=1e-3)).result()
    assert logprobs(back, data)[0] == pytest.approx(logprobs(trained, data)[0], abs=place.near)
    place.rest.delete_checkpoint_from_tinker_path(path).result()


def test_the_sampler_and_the_trainer_agree_on_log_probabilities(place, trained):
    tokens = sequence(6)
    sampler = trained.save_weights_and_get_sampling_client()
    sampler = sampler.result() if hasattr(sampler, "result") else sampler
    told = sampler.compute_logprobs(types.ModelInput.from_ints(tokens)).result()
    assert told[0] is None
    assert told[1:] == pytest.approx(logprobs(trained, [datum(tokens)])[0], abs=place.near)
    params = types.SamplingParams(max_tokens=4, temperature=1.0, seed=1)
    answer = sampler.sample(types.ModelInput.from_ints(tokens), 3, params).result()
    assert len(answer.sequences) == 3
    for one in answer.sequences:
        assert 1 <= len(one.tokens) <= 4 and len(one.logprobs) == len(one.tokens)
        assert all(math.isfinite(x) and x <= 1e-6 for x in one.logprobs)


def expiry(place, path):
    run, _, checkpoint = path.removeprefix("tinker://").partition("/")
    listed = place.rest.list_checkpoints(run).result().checkpoints
    (found,) = [one for one in listed if one.checkpoint_id == checkpoint]
    return found.expires_at


def test_a_lifetime_can_be_set_extended_and_taken_away(place, trained):
    path = trained.save_state(name(), ttl_seconds=7200).result().path
    hours = (expiry(place, path) - datetime.now(UTC)).total_seconds() / 3600
    assert hours == pytest.approx(2, abs=0.1)
    place.rest.set_checkpoint_ttl_from_tinker_path(path, 5 * 86400).result()
    days = (expiry(place, path) - datetime.now(UTC)).total_seconds() / 86400
    assert days == pytest.approx(5, abs=0.1)
    place.rest.set_checkpoint_ttl_from_tinker_path(path, None).result()
    assert expiry(place, path) is None
    place.rest.delete_checkpoint_from_tinker_path(path).result()
    with pytest.raises((tinker.NotFoundError, tinker.BadRequestError)):
        place.rest.set_checkpoint_ttl_from_tinker_path(path, 7200).result()


def test_what_is_gone_is_refused_at_once_and_not_tried_for_minutes(place, trained):
    path = trained.save_state(name(), ttl_seconds=3600).result().path
    place.rest.delete_checkpoint_from_tinker_path(path).result()
    with pytest.raises((tinker.NotFoundError, tinker.RequestFailedError)):
        place.client.create_training_client_from_state_with_optimizer(path).result(timeout=120)


def test_an_export_is_downloaded_as_peft_files_that_say_their_alpha(place, trained, tmp_path):
    import json

    from training.downloads import download_external

    path = trained.save_weights_external(name(), ttl_seconds=3600).result().path
    download_external(lambda: place.rest.get_external_weights_urls(path).result().urls, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == 8 and config["lora_alpha"] > 0
    assert (tmp_path / "adapter_model.safetensors").stat().st_size > 1000
    place.rest.delete_checkpoint_from_tinker_path(path).result()
