"""The table of ``conformance.py``, asked of a server: ours, or the one that the environment names.

    TINKER_CONFORMANCE_URL=http://127.0.0.1:8787 TINKER_CONFORMANCE_KEY=tml-... \\
        python -m pytest tests/training/engine/test_engine_conformance.py

What only a server in this process can show (its files, its clock) is left out for others.
"""

import http.client
import importlib.metadata
import os
import re
import time
import urllib.parse
from pathlib import Path

import httpx
import pytest
import tinker
from conformance import CHECKED_WITH, FUTURE, GOOD, NEVER, TABLE, Row, World, wrong_types
from google.protobuf.message import DecodeError
from serving import KEY
from tinker import types

URL = os.environ.get("TINKER_CONFORMANCE_URL")
here_only = pytest.mark.skipif(bool(URL), reason="needs the server to be in this process")
JUNK = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b"[" * 50_000, b'{"a": ' * 50_000]
POSTS = sorted({path for path in GOOD if path.startswith(("POST", "PUT"))})
PATHS = sorted({*GOOD, *(row.path for row in TABLE)} - {"GET /healthz"})


@pytest.fixture(scope="module")
def address(request) -> tuple[str, str]:
    if URL:
        return URL, os.environ.get("TINKER_CONFORMANCE_KEY", KEY)
    return request.getfixturevalue("running").url, KEY


@pytest.fixture(scope="module")
def world(address):
    made = World(*address)
    time.sleep(1.1)  # until the checkpoint <expired> is
    return made


@pytest.fixture(scope="module")
def service(address):
    from training.engine.connection import prepare_client

    prepare_client()
    return tinker.ServiceClient(base_url=address[0], api_key=address[1])


def refused(reply: httpx.Response, row: Row) -> None:
    assert reply.status_code == row.status, reply.text
    assert re.search(row.says, reply.json()["detail"]), reply.text
    assert reply.headers["content-length"] != "0", "the SDK would take it for a lost connection"


def test_the_pinned_sdk_is_the_one_that_the_table_was_checked_with():
    installed = importlib.metadata.version("tinker")
    assert installed == CHECKED_WITH, (
        f"tinker {installed} is installed and the table was checked with {CHECKED_WITH}: read what "
        "changed in its retries, exceptions and paths, mend conformance.py, then CHECKED_WITH"
    )
    pins = Path(__file__).resolve().parents[3].glob("requirements*.txt")
    pinned = re.findall(r"^tinker==(.*)$", "\n".join(p.read_text() for p in pins), re.MULTILINE)
    assert set(pinned) == {CHECKED_WITH}


@pytest.mark.parametrize("path", GOOD)
def test_the_good_request_succeeds(world, path):
    reply = world.good(path)
    assert reply.status_code in (200, 204), reply.text
    spoken = reply.headers.get("content-type") == "application/json"
    if spoken and "request_id" in reply.json():
        result = world.fetch(reply.json()["request_id"])
        assert result.status_code == 200
        binary = path in ("POST /forward_backward", "POST /asample")
        wanted = "application/x-protobuf" if binary else "application/json"
        assert result.headers["content-type"] == wanted
        assert binary or "error" not in result.json(), result.text


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.path} {row.wrong}")
def test_a_mistake_is_told_by_its_code_and_named(world, row):
    body = row.change
    if isinstance(body, dict):
        body = {**(GOOD.get(row.path) or {}), **body}
    reply = world.send(row.path, body)
    if row.status != FUTURE:
        refused(reply, row)
    else:
        told = world.result(reply)
        assert told["category"] == "user"
        assert re.search(row.says, told["error"])


@pytest.mark.parametrize("row", wrong_types(), ids=lambda row: f"{row.path} {row.wrong}")
def test_a_value_of_another_type_is_refused_and_named(world, row):
    refused(world.send(row.path, {**GOOD[row.path], **row.change}), row)


@pytest.mark.parametrize("path", POSTS)
def test_junk_is_never_told_by_a_code_that_the_sdk_repeats(world, path):
    for junk in JUNK:
        reply = world.send(path, junk)
        assert reply.status_code in (200, 204, 400, 404), (junk[:20], reply.text)
        assert reply.status_code < 400 or reply.json()["detail"]


def test_no_mistake_has_a_code_that_the_sdk_repeats_for_minutes():
    assert not {row.status for row in TABLE} & NEVER


@pytest.mark.parametrize("path", PATHS)
def test_without_the_key_nothing_is_told(world, path):
    for headers in ({"X-API-Key": "tml-another-key"}, {"X-API-Key": ""}):
        reply = world.send(path, GOOD.get(path), headers=headers)
        assert (reply.status_code, set(reply.json())) == (401, {"detail"})


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(world, address):
    place = urllib.parse.urlsplit(address[0])
    assert place.hostname is not None
    link = http.client.HTTPConnection(place.hostname, place.port or 80, timeout=20)
    link.putrequest("POST", "/api/v1/create_session")
    link.putheader("X-API-Key", address[1])
    link.putheader("Content-Length", str(10**10))
    link.endheaders()
    assert link.getresponse().status == 413
    link.close()


def send_and_hang_up(world: World, address: tuple[str, str], path: str, body: dict) -> None:
    """A request whose reply is lost."""
    place = urllib.parse.urlsplit(address[0])
    assert place.hostname is not None
    link = http.client.HTTPConnection(place.hostname, place.port or 80, timeout=20)
    link.request(
        "POST", f"/api/v1{path}", world.encode(path, body), headers={"X-API-Key": address[1]}
    )
    link.close()


def test_a_request_whose_reply_was_lost_runs_once_and_keeps_its_name(world, address):
    losses = []
    for lost in (False, True):
        model = world.result(world.good("POST /create_model"))["model_id"]
        train = {**world.fill(GOOD["POST /forward_backward"]), "model_id": model}
        steps = [
            ("/forward_backward", {**train, "seq_id": 1}),
            ("/optim_step", {"model_id": model, "seq_id": 2, "adam_params": {"eps": 1e-3}}),
            ("/forward_backward", {**train, "seq_id": 3}),
        ]
        for path, body in steps:
            names = set()
            if lost:
                send_and_hang_up(world, address, path, body)
            for _ in range(1 + 2 * lost):
                names.add(world.send(f"POST {path}", body).json()["request_id"])
            assert len(names) == 1
            results = [world.fetch(name).content for name in names for _ in range(2)]
            assert results[0] == results[1], "a result whose reply was lost is told again"
        losses.append(results[0])
    assert losses[0] == losses[1], "the lost requests ran twice"


def test_a_request_that_broke_off_is_not_taken_though_it_reads_as_a_whole_one(world, address):
    from tinker.proto import tinker_public_pb2 as pb

    def trains(part: bytes) -> bool:
        try:
            message = pb.ForwardBackwardRequest.FromString(part)
        except DecodeError:
            return False
        return bool(message.loss_fn) and not message.forward_only

    model = world.result(world.good("POST /create_model"))["model_id"]
    good = {**world.fill(GOOD["POST /forward_backward"]), "model_id": model, "seq_id": 1}
    message = pb.ForwardBackwardRequest.FromString(world.encode("/forward_backward", good))
    message.forward_only = True
    content = message.SerializeToString()
    cut = next(n for n in range(len(content), 0, -1) if trains(content[:n]))
    place = urllib.parse.urlsplit(address[0])
    assert place.hostname is not None
    link = http.client.HTTPConnection(place.hostname, place.port or 80, timeout=20)
    link.putrequest("POST", "/api/v1/forward_backward")
    link.putheader("X-API-Key", address[1])
    link.putheader("Content-Length", str(len(content)))
    link.endheaders(content[:cut])
    time.sleep(0.1)
    link.close()
    time.sleep(0.1)
    step = {"model_id": model, "seq_id": 2, "adam_params": {"learning_rate": 0.1}}
    before = world.send("POST /forward_backward", content)
    assert "error" not in world.result(world.send("POST /optim_step", step))
    message.seq_id = 3
    after = world.send("POST /forward_backward", message.SerializeToString())
    losses = [world.fetch(reply.json()["request_id"]).content for reply in (before, after)]
    assert losses[0] == losses[1], "the part was taken, and trained"


def test_a_repeated_creation_is_the_same_model_and_session(world):
    body = world.fill(GOOD["POST /create_model"])
    told = [world.send("POST /create_model", body).json() for _ in range(2)]
    assert told[0] == told[1]
    body = world.fill(GOOD["POST /create_sampling_session"])
    told = [world.send("POST /create_sampling_session", body).json() for _ in range(2)]
    assert told[0] == told[1]
    body = world.fill(GOOD["POST /asample"])
    told = [world.send("POST /asample", body).json() for _ in range(2)]
    assert told[0] == told[1]
    assert len(told[0]["sample_sequence_ids"]) == body["num_samples"]


def test_requests_that_arrive_backwards_run_in_their_order(world):
    model = world.result(world.good("POST /create_model"))["model_id"]
    train = {**world.fill(GOOD["POST /forward_backward"]), "model_id": model}
    step = {"model_id": model, "adam_params": {"learning_rate": 0.1}}
    told = [
        world.send("POST /save_weights", {"model_id": model, "seq_id": 3, "path": "last"}),
        world.send("POST /optim_step", {**step, "seq_id": 2}),
        world.send("POST /forward_backward", {**train, "seq_id": 1}),
    ]
    assert [reply.status_code for reply in told] == [200] * 3
    assert world.result(told[0])["path"].endswith("/weights/last")
    assert "error" not in world.result(told[1])


def test_a_refused_number_holds_up_nobody(world):
    model = world.result(world.good("POST /create_model"))["model_id"]
    step = {"model_id": model, "adam_params": {"learning_rate": 0.1}}
    bad = {"model_id": model, "seq_id": 1, "adam_params": {"beta1": 2}}
    assert world.send("POST /optim_step", bad).status_code == 400
    began = time.monotonic()
    assert "error" not in world.result(world.send("POST /optim_step", {**step, "seq_id": 2}))
    assert time.monotonic() - began < 4, "it waited for the refused one"


def test_the_sdk_raises_its_own_exceptions_at_once(service, world):
    base = world.words["base"]
    prompt = types.ModelInput.from_ints([5, 6])
    sampler = service.create_sampling_client(base_model=base).result()
    model = service.create_lora_training_client(base, rank=2).result()
    assert model.save_state("taken").result()
    for error, says, ask in (
        (
            tinker.BadRequestError,
            "temperature",
            lambda: sampler.sample(prompt, 1, types.SamplingParams(temperature=-1)),
        ),
        (
            tinker.NotFoundError,
            "checkpoint",
            lambda: service.create_training_client_from_state("tinker://a/weights/b"),
        ),
        (tinker.RequestFailedError, "exists", lambda: model.save_state("taken")),
    ):
        began = time.monotonic()
        with pytest.raises(error, match=says):
            ask().result()
        assert time.monotonic() - began < 5, "it was repeated before it was told"


@here_only
def test_a_result_that_is_not_there_yet_is_408_and_says_what_it_waits_for(world, monkeypatch):
    from training.engine.protocol import routes

    monkeypatch.setattr(routes, "POLL_S", 0.01)
    body = {**world.fill(GOOD["POST /asample"]), "num_samples": 200}
    body["sampling_params"] = {"max_tokens": 500, "stop": []}
    told = world.send("POST /asample", body).json()
    reply = world.send("POST /retrieve_future", {"request_id": told["request_id"]})
    assert reply.status_code == 408
    assert reply.json()["queue_state"] in ("active", "paused_capacity")
    world.send("POST /cancel_future", {"request_id": told["request_id"]})


@here_only
def test_what_is_not_the_engines_to_change_is_403(world, adapters_root):
    folder = adapters_root / "conformance" / "read-only"
    folder.mkdir(parents=True)
    told = world.good(
        "GET /training_runs/<model>/checkpoints/<export name>/external_weights_urls"
    ).json()
    for name, url in told["urls"].items():
        (folder / name).write_bytes(httpx.get(url, trust_env=False).content)
    place = "/training_runs/adapter-conformance/checkpoints/weights/read-only"
    for row in (
        Row(f"DELETE {place}", "delete", None, 403, "only reads"),
        Row(f"PUT {place}/ttl", "expire", {"ttl_seconds": 60}, 403, "only reads"),
        Row(f"POST {place}/publish", "publish", None, 403, "only reads"),
    ):
        refused(world.send(row.path, row.change), row)


def test_the_table_has_every_code_that_a_server_may_answer_with():
    # 408 and 403 have a test of their own above, 413 too; 429 is in test_engine_limits.py.
    found = {row.status for row in TABLE} | {401, 403, 408, 413, 429}
    assert found == {200, 400, 401, 403, 404, 405, 408, 410, 413, 429}


def test_every_path_that_the_engine_routes_is_in_the_table():
    from training.engine.protocol import listings, routes

    spoken = {
        re.sub(r"<[a-z ]+name>", "{kind}/{name}", path.partition("?")[0])
        for path in {*GOOD, *(row.path for row in TABLE)}
    }
    patterns = [(path.partition(" ")[0], path.partition(" ")[2]) for path in spoken]
    for route in [*routes.routes(), *listings.routes()]:
        place = route.path.removeprefix("/api/v1")
        if place.startswith("/download/"):
            continue
        shape = re.compile(re.sub(r"\{\w+\}", "[^/]+", place))
        for method in (route.methods or set()) - {"HEAD"}:
            assert any(m == method and shape.fullmatch(p) for m, p in patterns), (method, place)
