"""What is refused, and how: the right exception within seconds, never minutes of retries."""

import time

import pytest
import tinker
from sdk_values import datum, tokens
from serving import KEY
from tinker import types


@pytest.fixture(scope="module")
def model(client, tiny):
    return client.create_lora_training_client(str(tiny), rank=4, seed=0).result()


@pytest.fixture(scope="module")
def sampler(client, tiny):
    return client.create_sampling_client(base_model=str(tiny)).result()


@pytest.fixture(autouse=True)
def within_seconds():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 20


def test_health_needs_no_key_and_tells_only_readiness(running):
    reply = running.post("/healthz", key=None, method="GET")
    assert reply.status_code == 200
    assert reply.json() == {"status": "ok"}


@pytest.mark.parametrize("key", [None, "", "tml-wrong", KEY + "x", "ü"])
def test_every_other_path_wants_the_key(running, key):
    headers = {} if key is None else {"X-API-Key": key.encode()}
    import httpx

    for method, path in [
        ("POST", "create_session"),
        ("GET", "checkpoints"),
        ("POST", "asample"),
        ("GET", "nothing/here"),
        ("DELETE", "training_runs/a/checkpoints/b/c"),
    ]:
        reply = httpx.request(
            method, f"{running.url}/api/v1/{path}", headers=headers, trust_env=False
        )
        assert reply.status_code == 401
        assert reply.json()["detail"]


def test_a_wrong_key_is_an_authentication_error_at_once(running, tiny):
    client = tinker.ServiceClient(base_url=running.url, api_key="tml-not-this-one")
    with pytest.raises(tinker.AuthenticationError):
        client.create_lora_training_client(str(tiny)).result()


def test_another_base_model_is_refused_with_the_name_of_the_served_one(client, tiny):
    for make in (
        lambda: client.create_lora_training_client("Qwen/Qwen3-8B").result(),
        lambda: client.create_sampling_client(base_model="/nowhere/else").result(),
    ):
        with pytest.raises(tinker.BadRequestError, match=str(tiny)):
            make()


@pytest.mark.parametrize("rank", [0, -1, 10_000])
def test_a_rank_out_of_range_is_refused(client, tiny, rank):
    with pytest.raises(tinker.BadRequestError, match="rank"):
        client.create_lora_training_client(str(tiny), rank=rank).result()


def test_only_the_tied_head_to_train_is_refused_clearly(client, tiny):
    with pytest.raises(tinker.RequestFailedError, match="tied"):
        client.create_lora_training_client(
            str(tiny), train_attn=False, train_mlp=False, train_unembed=True
        ).result()


def test_another_optimizer_is_refused(client, tiny):
    with pytest.raises(tinker.BadRequestError, match="dimuon"):
        client.create_lora_training_client(
            str(tiny), optimizer=types.DimuonOptimizerConfig()
        ).result()


def bad_datum(**changes):
    ids = tokens(1, 8)
    value = {
        "model_input": types.ModelInput.from_ints(ids[:-1]),
        "loss_fn_inputs": {"target_tokens": ids[1:], "weights": [1.0] * 7},
    }
    value["loss_fn_inputs"] = {**value["loss_fn_inputs"], **changes.pop("inputs", {})}
    for name in changes.pop("without", []):
        del value["loss_fn_inputs"][name]
    return types.Datum(**{**value, **changes})


@pytest.mark.parametrize(
    ("loss", "make", "message"),
    [
        ("cross_entropy", lambda: bad_datum(without=["target_tokens"]), "target_tokens is missing"),
        ("cross_entropy", lambda: bad_datum(inputs={"target_tokens": [5, 6]}), "one target"),
        ("cross_entropy", lambda: bad_datum(inputs={"weights": [1.0, 2.0]}), "weights has shape"),
        ("cross_entropy", lambda: bad_datum(inputs={"weights": [float("nan")] * 7}), "inf or NaN"),
        (
            "cross_entropy",
            lambda: bad_datum(inputs={"target_tokens": [5] * 6 + [260]}),
            "token 260",
        ),
        ("cross_entropy", lambda: bad_datum(inputs={"target_tokens": [-1] * 7}), "token -1"),
        (
            "cross_entropy",
            lambda: bad_datum(model_input=types.ModelInput.from_ints([999] * 7)),
            "token 999",
        ),
        (
            "cross_entropy",
            lambda: bad_datum(model_input=types.ModelInput.from_ints([])),
            "no tokens",
        ),
        ("cross_entropy", lambda: datum(tokens(1, 600)), "context holds 512"),
        (
            "cross_entropy",
            lambda: bad_datum(inputs={"mask": types.TensorData(data=[1.0] * 7, dtype="float32")}),
            "does not read 'mask'",
        ),
        ("ppo", lambda: bad_datum(without=["weights"]), "logprobs is missing"),
        ("gspo", lambda: bad_datum(), "not supported"),
    ],
)
def test_bad_training_data_is_refused_by_name(model, loss, make, message):
    with pytest.raises(tinker.BadRequestError, match=message):
        model.forward_backward([make()], loss).result()
    # The client goes on working.
    model.forward([datum(tokens(1, 8))], "cross_entropy").result()


def test_unknown_loss_options_are_refused(model):
    with pytest.raises(tinker.BadRequestError, match="no option"):
        model.forward_backward([datum(tokens(1, 8))], "cross_entropy", {"beta": 1.0}).result()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("eps", -1e-9),
        ("weight_decay", float("nan")),
        ("grad_clip_norm", -1.0),
    ],
)
def test_bad_optimiser_settings_are_refused_by_name(model, name, value):
    with pytest.raises(tinker.BadRequestError, match=name):
        model.optim_step(types.AdamParams(**{name: value})).result()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -5}, "top_k"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": [""]}, "stop"),
        ({"stop": [5, 999_999]}, "not in the vocabulary"),
    ],
)
def test_bad_sampling_parameters_are_refused_by_name(sampler, params, message):
    with pytest.raises(tinker.BadRequestError, match=message):
        sampler.sample(
            types.ModelInput.from_ints([5, 6]), 1, types.SamplingParams(**params)
        ).result()


@pytest.mark.parametrize(
    ("prompt", "n", "message"),
    [
        ([], 1, "no tokens"),
        ([5] * 512, 1, "no room"),
        ([5] * 2000, 1, "context holds 512"),
        ([260], 1, "token 260"),
        ([-3], 1, "token -3"),
        ([5], 0, "num_samples"),
        ([5], 100_000, "num_samples"),
    ],
)
def test_bad_prompts_are_refused(sampler, prompt, n, message):
    with pytest.raises(tinker.BadRequestError, match=message):
        sampler.sample(types.ModelInput.from_ints(prompt), n, types.SamplingParams()).result()


def test_what_the_engine_cannot_do_is_refused_not_ignored(sampler):
    prompt = types.ModelInput.from_ints([5, 6])
    for extra in (
        {"prompt_alt_tokens_k": 2},
        {"target_prompt_logprobs": types.TensorData(data=[5], dtype="int64", shape=[1, 1])},
    ):
        with pytest.raises(tinker.BadRequestError, match="not supported"):
            sampler.sample(prompt, 1, types.SamplingParams(max_tokens=1), **extra).result()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("tinker://nobody/weights/nothing", tinker.NotFoundError),
        ("tinker://a/weights", tinker.BadRequestError),
        ("tinker://a/weights/b/c", tinker.BadRequestError),
        ("tinker://../weights/passwd", tinker.BadRequestError),
        ("tinker://adapter-../weights/x", tinker.NotFoundError),
        ("tinker://adapter-x/weights/..", tinker.BadRequestError),
        ("tinker://a/etc/passwd", tinker.BadRequestError),
    ],
)
def test_paths_that_lead_nowhere_or_out_are_refused(client, path, error):
    with pytest.raises(error):
        client.create_sampling_client(model_path=path).result()
    with pytest.raises(error):
        client.create_training_client_from_state(path).result()


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".hidden", "", "x" * 300, "nul\0", "a b", "line\n"]
)
def test_checkpoint_names_that_are_no_names_are_refused(running, model, name):
    with pytest.raises(tinker.BadRequestError, match="checkpoint name"):
        model.save_weights_for_sampler(name or " ").result()


@pytest.mark.parametrize(
    "body",
    [
        {"session_id": "line\n", "sampling_session_seq_id": 1},
        {"session_id": "../x", "sampling_session_seq_id": 1},
        {"session_id": "s", "sampling_session_seq_id": 10**300},
        {"session_id": "s", "sampling_session_seq_id": -1},
    ],
)
def test_ids_that_cannot_be_file_names_are_refused(running, tiny, body):
    reply = running.post("/create_sampling_session", {**body, "base_model": str(tiny)})
    assert reply.status_code == 400
    assert "session" in reply.json()["detail"]


@pytest.mark.parametrize("number", [0, -1, 2**30 - 1])
def test_a_training_request_without_its_number_is_refused(running, client, tiny, number):
    from training.engine.protocol.wire import pb

    model = client.create_lora_training_client(str(tiny), rank=2).result()
    message = pb.ForwardBackwardRequest(model_id=model.model_id, loss_fn="cross_entropy")
    message.seq_id = number
    item = message.data.add()
    item.model_input.add().encoded_text.tokens = b"\5\0\0\0"
    target = item.loss_fn_inputs["target_tokens"]
    target.dtype, target.dense = 3, b"\6\0\0\0"
    target.shape.append(1)
    reply = running.post("/forward_backward", content=message.SerializeToString())
    assert reply.status_code == (200 if number > 0 else 400), reply.text
    if number <= 0:
        assert "seq_id" in reply.json()["detail"]


def test_a_number_that_no_float_holds_is_refused(running, model):
    # By hand, because the SDK would not write it.
    body = f'{{"model_id": "{model.model_id}", "seq_id": 99, '
    body += '"adam_params": {"learning_rate": 1' + "0" * 400 + "}}"
    reply = running.post("/optim_step", content=body.encode())
    assert reply.status_code == 400
    assert "learning_rate" in reply.json()["detail"]


def test_a_bug_in_the_engine_is_told_at_once_and_not_repeated_for_minutes(
    client, tiny, monkeypatch
):
    from training.engine.protocol.registry import Registry

    sampler = client.create_sampling_client(base_model=str(tiny)).result()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Registry, "sampler", broken)
    with pytest.raises(tinker.BadRequestError, match="ZeroDivisionError: a bug"):
        sampler.compute_logprobs(types.ModelInput.from_ints([5, 6])).result(timeout=20)


def test_a_name_that_is_taken_fails_unless_overwritten(model):
    first = model.save_state("taken").result().path
    with pytest.raises((tinker.RequestFailedError, tinker.BadRequestError), match="exists"):
        model.save_state("taken").result()
    assert model.save_state("taken", overwrite=True).result().path == first


def test_unknown_models_sessions_and_requests_say_so(running):
    assert running.post("/get_info", {"model_id": "no:train:1"}).status_code == 404
    reply = running.post("/optim_step", {"model_id": "no:train:1", "seq_id": 1, "adam_params": {}})
    assert reply.status_code == 404
    assert running.post("/retrieve_future", {"request_id": "never"}).status_code == 410
    assert running.get("/samplers/none").status_code == 404
    assert running.get("/training_runs/none").status_code == 404
    assert running.get("/no/such/path").status_code == 404
    assert running.post("/get_info", method="GET").status_code == 405
    for path in ("/get_info", "/optim_step", "/no/such/path"):
        assert running.post(path, {}).json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"session_id": 5}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"base_model": {"a": 1}}',
    ],
)
def test_malformed_bodies_are_bad_requests_with_a_reason(running, body):
    import httpx

    for path in (
        "create_model",
        "create_sampling_session",
        "asample",
        "optim_step",
        "forward_backward",
        "load_weights",
        "save_weights",
        "weights_info",
    ):
        reply = httpx.post(
            f"{running.url}/api/v1/{path}",
            content=body,
            headers={"X-API-Key": KEY},
            trust_env=False,
        )
        assert reply.status_code in (400, 404), (path, reply.text)
        assert reply.json()["detail"]


def test_a_body_over_the_limit_is_refused(running):
    import httpx

    def pieces():
        for _ in range(70):
            yield b" " * (1024 * 1024)

    try:
        reply = httpx.post(
            f"{running.url}/api/v1/create_session",
            content=pieces(),
            headers={"X-API-Key": KEY},
            trust_env=False,
            timeout=30,
        )
        assert reply.status_code == 413
    except httpx.HTTPError:
        pass  # refused while still sending is as good


def test_a_repeated_request_runs_once(running, client, tiny):
    from tinker.proto import tinker_public_pb2 as pb

    model = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
    import httpx
    import numpy as np

    message = pb.ForwardBackwardRequest(model_id=model.model_id, seq_id=1, loss_fn="cross_entropy")
    part = message.data.add()
    part.model_input.add().encoded_text.tokens = np.array([5, 6, 7], np.int32).tobytes()
    target = part.loss_fn_inputs["target_tokens"]
    target.dtype, target.dense = 2, np.array([6, 7, 8], np.int64).tobytes()
    headers = {"X-API-Key": KEY, "Content-Type": "application/x-protobuf"}
    replies = [
        httpx.post(
            f"{running.url}/api/v1/forward_backward",
            content=message.SerializeToString(),
            headers=headers,
            trust_env=False,
        ).json()
        for _ in range(3)
    ]
    assert len({r["request_id"] for r in replies}) == 1
    for _ in range(2):  # a result can be fetched again
        assert (
            running.post("/retrieve_future", {"request_id": replies[0]["request_id"]}).status_code
            == 200
        )
    steps = [
        running.post(
            "/optim_step",
            {"model_id": model.model_id, "seq_id": 2, "adam_params": {"learning_rate": 0.1}},
        ).json()
        for _ in range(3)
    ]
    first = running.post("/retrieve_future", {"request_id": steps[0]["request_id"]}).json()
    other = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
    other.forward_backward(
        [
            types.Datum(
                model_input=types.ModelInput.from_ints([5, 6, 7]),
                loss_fn_inputs={"target_tokens": [6, 7, 8]},
            )
        ],
        "cross_entropy",
    )
    wanted = other.optim_step(types.AdamParams(learning_rate=0.1)).result()
    assert first["metrics"] == pytest.approx(wanted.metrics)


def test_a_repeated_sample_is_the_same_sample(running, sampler):
    body = {
        "sampling_session_id": sampler._sampling_session_id,
        "seq_id": 777,
        "num_samples": 2,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [5, 6, 7]}]},
        "sampling_params": {"max_tokens": 8},
    }
    told = [running.post("/asample", body).json() for _ in range(2)]
    assert told[0] == told[1]
    assert len(told[0]["sample_sequence_ids"]) == 2
    replies = [
        running.post("/retrieve_future", {"request_id": told[0]["request_id"]}).content
        for _ in range(2)
    ]
    assert replies[0] == replies[1]


def test_a_finished_session_frees_its_models_and_takes_no_more(running, tiny):
    client = running.client()
    model = client.create_lora_training_client(str(tiny), rank=4).result()
    sampler = model.save_weights_and_get_sampling_client().result()
    client.close("success").result()
    assert running.post("/get_info", {"model_id": model.model_id}).status_code == 404
    assert running.get(f"/samplers/{sampler._sampling_session_id}").status_code == 404
    session = model.model_id.split(":")[0]
    assert running.post("/session_heartbeat", {"session_id": session}).status_code == 410


def test_capabilities_name_the_model_to_ask_for(client, tiny):
    model = client.get_server_capabilities().supported_models[0]
    assert model.model_name == str(tiny)
    assert model.max_context_length == 512
