"""What a server has to answer to the pinned SDK, as a table: every path, every mistake, every code.

``CHECKED_WITH`` is the SDK that the table was read from. ``GOOD`` has a request for each path that
succeeds; a row of ``TABLE`` changes it and names the status and a word of the reason. Words in
angle brackets are filled in by the ``World`` that is spoken to: ``<model>``, ``<session>``, ....
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import numpy as np

CHECKED_WITH = "0.38.0"
"""The tinker SDK whose source, retries and exceptions this table follows."""

NEVER = {402, 409, *range(500, 600)}
"""The SDK repeats these for minutes or waits for an hour, so no mistake may be told by them."""

GONE = None
"""In a row: the field is left out."""

GOOD: dict[str, Any] = {
    "POST /create_session": {"tags": [], "user_metadata": {"a": "b"}, "sdk_version": CHECKED_WITH},
    "POST /session_heartbeat": {"session_id": "<session>"},
    "POST /client/config": {"sdk_version": CHECKED_WITH},
    "POST /client/dynamic_config": {"sdk_version": CHECKED_WITH},
    "POST /telemetry": {"events": []},
    "POST /create_model": {
        "session_id": "<session>",
        "model_seq_id": "<new model>",
        "base_model": "<base>",
        "lora_config": {"rank": 2, "seed": 1, "train_mlp": True},
        "user_metadata": {"a": "b"},
    },
    "POST /get_info": {"model_id": "<model>"},
    "POST /forward_backward": {
        "model_id": "<model>",
        "seq_id": "<number>",
        "loss_fn": "cross_entropy",
        "tokens": [5, 6, 7],
        "target_tokens": [6, 7, 8],
        "weights": [1.0, -2.0, 0.5],
    },
    "POST /optim_step": {
        "model_id": "<model>",
        "seq_id": "<number>",
        "adam_params": {"learning_rate": 1e-4, "beta1": 0.9, "grad_clip_norm": 1.0},
    },
    "POST /save_weights": {"model_id": "<model>", "seq_id": "<number>", "path": "<new name>"},
    "POST /save_weights_for_sampler": {
        "model_id": "<model>",
        "seq_id": "<number>",
        "sampling_session_seq_id": "<new sampler>",
    },
    "POST /save_weights_external": {
        "model_id": "<model>",
        "seq_id": "<number>",
        "path": "<new name>",
        "ttl_seconds": 3600,
    },
    "POST /load_weights": {
        "model_id": "<model>",
        "seq_id": "<number>",
        "path": "<weights>",
        "optimizer": True,
    },
    "POST /create_sampling_session": {
        "session_id": "<session>",
        "sampling_session_seq_id": "<new sampler>",
        "base_model": "<base>",
    },
    "POST /join_sampling_session": {"sampling_session_id": "<sampler>"},
    "POST /asample": {
        "sampling_session_id": "<sampler>",
        "seq_id": "<new sample>",
        "num_samples": 2,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [5, 6]}]},
        "sampling_params": {"max_tokens": 2, "temperature": 1.0, "top_k": 5, "top_p": 0.9},
    },
    "POST /retrieve_future": {"request_id": "<result>"},
    "POST /cancel_future": {"request_id": "<result>"},
    "POST /weights_info": {"tinker_path": "<weights>"},
    "GET /healthz": None,
    "GET /get_server_capabilities": None,
    "GET /samplers/<sampler>": None,
    "GET /checkpoints": None,
    "GET /training_runs": None,
    "GET /training_runs/<model>": None,
    "GET /training_runs/<model>/checkpoints": None,
    "GET /training_runs/<model>/checkpoints/<export name>/external_weights_urls": None,
    "PUT /training_runs/<model>/checkpoints/<weights name>/ttl": {"ttl_seconds": 7200},
    "POST /training_runs/<model>/checkpoints/<weights name>/publish": None,
    "DELETE /training_runs/<model>/checkpoints/<weights name>/publish": None,
    "GET /sessions": None,
    "GET /sessions/<session>": None,
}


class Row(NamedTuple):
    """One mistake: a path, what is wrong, the change to the good request, and the answer."""

    path: str
    wrong: str
    change: Any
    status: int
    says: str = ""


FUTURE = 200
"""With ``Row.says``: the POST is taken, and the result is a failure of the category ``user``."""

TABLE = [
    Row("POST /session_heartbeat", "finished session", {"session_id": "<finished>"}, 410, "finish"),
    Row("POST /session_heartbeat", "path as session", {"session_id": "a/b"}, 400, "session_id"),
    Row("POST /create_model", "another base", {"base_model": "Qwen/Qwen3-8B"}, 400, "serve"),
    Row("POST /create_model", "rank 0", {"lora_config": {"rank": 0}}, 400, "rank"),
    Row("POST /create_model", "rank too large", {"lora_config": {"rank": 10**6}}, 400, "rank"),
    Row("POST /create_model", "optimizer", {"optimizer_config": {"type": "sgd"}}, 400, "optimizer"),
    Row("POST /create_model", "number below 0", {"model_seq_id": -1}, 400, "model_seq_id"),
    Row("POST /create_model", "number too large", {"model_seq_id": 2**60}, 400, "model_seq_id"),
    Row("POST /create_model", "finished session", {"session_id": "<finished>"}, 400, "finished"),
    Row("POST /create_model", "path as session", {"session_id": "../x"}, 400, "session_id"),
    Row(
        "POST /create_model",
        "nothing to train",
        {"lora_config": {"rank": 2, "train_mlp": False, "train_attn": False}},
        FUTURE,
        "tied|train",
    ),
    Row("POST /get_info", "unknown model", {"model_id": "no:train:1"}, 404, "no:train:1"),
    Row("POST /forward_backward", "unknown model", {"model_id": "no:train:1"}, 404, "no:train:1"),
    Row("POST /forward_backward", "not protobuf", b"{}", 400, "protobuf"),
    Row("POST /forward_backward", "unknown loss", {"loss_fn": "mse"}, 400, "mse"),
    Row("POST /forward_backward", "number 0", {"seq_id": 0}, 400, "seq_id"),
    Row("POST /forward_backward", "number below 0", {"seq_id": -3}, 400, "seq_id"),
    Row("POST /forward_backward", "no tokens", {"tokens": [], "target_tokens": []}, 400, "tokens"),
    Row("POST /forward_backward", "no targets", {"target_tokens": GONE}, 400, "target_tokens"),
    Row("POST /forward_backward", "fewer targets", {"target_tokens": [6]}, 400, "shape"),
    Row("POST /forward_backward", "fewer weights", {"weights": [1.0]}, 400, "weights"),
    Row("POST /forward_backward", "NaN weight", {"weights": [1, np.nan, 1]}, 400, "NaN"),
    Row("POST /forward_backward", "infinite weight", {"weights": [1, np.inf, 1]}, 400, "inf"),
    Row("POST /forward_backward", "token too large", {"tokens": [5, 6, 10**6]}, 400, "vocabulary"),
    Row("POST /forward_backward", "token below 0", {"target_tokens": [6, -7, 8]}, 400, "token -7"),
    Row("POST /forward_backward", "too long", {"tokens": [5] * 5000}, 400, "context"),
    Row("POST /forward_backward", "an input too many", {"mask": [1.0] * 3}, 400, "mask"),
    Row("POST /forward_backward", "ppo, no logprobs", {"loss_fn": "ppo"}, 400, "logprobs"),
    Row("POST /forward_backward", "an odd option", {"config": {"beta": 1.0}}, 400, "beta"),
    Row("POST /optim_step", "unknown model", {"model_id": "no:train:1"}, 404, "no:train:1"),
    Row("POST /optim_step", "number 0", {"seq_id": 0}, 400, "seq_id"),
    Row("POST /optim_step", "NaN rate", {"adam_params": {"learning_rate": np.nan}}, 400, "rate"),
    Row("POST /optim_step", "infinite eps", {"adam_params": {"eps": np.inf}}, 400, "eps"),
    Row("POST /optim_step", "rate below 0", {"adam_params": {"learning_rate": -1}}, 400, "rate"),
    Row("POST /optim_step", "beta1 of 1", {"adam_params": {"beta1": 1.0}}, 400, "beta1"),
    Row("POST /optim_step", "clip below 0", {"adam_params": {"grad_clip_norm": -1}}, 400, "clip"),
    Row("POST /optim_step", "optimizer", {"optimizer_params": {"type": "sgd"}}, 400, "sgd"),
    *[
        Row(f"POST /{path}", wrong, change, status, says)
        for path in ("save_weights", "save_weights_external")
        for wrong, change, status, says in (
            ("unknown model", {"model_id": "no:train:1"}, 404, "no:train:1"),
            ("slash in the name", {"path": "a/b"}, 400, "name"),
            ("dots as name", {"path": ".."}, 400, "name"),
            ("long name", {"path": "x" * 300}, 400, "name"),
            ("zero byte in the name", {"path": "a\0b"}, 400, "name"),
            ("lifetime 0", {"ttl_seconds": 0}, 400, "ttl_seconds"),
        )
    ],
    Row("POST /save_weights", "a taken name", {"path": "<weights last>"}, FUTURE, "exists"),
    Row("POST /save_weights_external", "encryption", {"age_encryption_recipients": ["a"]}, 400),
    Row("POST /save_weights_for_sampler", "number below 0", {"sampling_session_seq_id": -1}, 400),
    Row("POST /save_weights_for_sampler", "unknown model", {"model_id": "no:train:1"}, 404),
    Row("POST /load_weights", "unknown model", {"model_id": "no:train:1"}, 404, "no:train:1"),
    Row("POST /load_weights", "unknown path", {"path": "tinker://a/weights/b"}, 404, "checkpoint"),
    Row("POST /load_weights", "expired path", {"path": "<expired>"}, 404, "expired"),
    Row("POST /load_weights", "no path", {"path": "/etc/passwd"}, 400, "path"),
    Row("POST /load_weights", "path with dots", {"path": "tinker://../weights/x"}, 400, "path"),
    Row("POST /load_weights", "two segments", {"path": "tinker://a/weights"}, 400, "path"),
    Row("POST /load_weights", "an export", {"path": "<export>"}, 400, "export"),
    Row("POST /load_weights", "no optimizer in it", {"path": "<for sampler>"}, 400, "optimizer"),
    Row("POST /create_sampling_session", "another base", {"base_model": "Qwen/Qwen3-8B"}, 400),
    Row("POST /create_sampling_session", "neither", {"base_model": GONE}, 400, "model_path"),
    Row(
        "POST /create_sampling_session",
        "unknown path",
        {"base_model": GONE, "model_path": "tinker://a/sampler_weights/b"},
        404,
        "checkpoint",
    ),
    Row("POST /create_sampling_session", "expired", {"model_path": "<expired>"}, 404, "expired"),
    Row("POST /create_sampling_session", "no path", {"model_path": "x"}, 400, "path"),
    Row("POST /create_sampling_session", "number", {"sampling_session_seq_id": -1}, 400, "seq_id"),
    Row("POST /create_sampling_session", "finished", {"session_id": "<finished>"}, 400, "finished"),
    Row("POST /join_sampling_session", "unknown", {"sampling_session_id": "no"}, 404, "no"),
    Row("POST /asample", "unknown sampler", {"sampling_session_id": "no"}, 404, "no"),
    Row("POST /asample", "no sampler", {"sampling_session_id": GONE}, 400, "sampling_session_id"),
    Row("POST /asample", "no prompt", {"prompt": {"chunks": []}}, 400, "no tokens"),
    Row("POST /asample", "image", {"prompt": {"chunks": [{"type": "image"}]}}, 400, "text"),
    Row("POST /asample", "token too large", {"prompt": {"chunks": [{"tokens": [10**6]}]}}, 400),
    Row("POST /asample", "token of 2^80", {"prompt": {"chunks": [{"tokens": [2**80]}]}}, 400),
    Row("POST /asample", "token below 0", {"prompt": {"chunks": [{"tokens": [-1]}]}}, 400),
    Row("POST /asample", "long prompt", {"prompt": {"chunks": [{"tokens": [5] * 5000}]}}, 400),
    Row("POST /asample", "0 samples", {"num_samples": 0}, 400, "num_samples"),
    Row("POST /asample", "a million samples", {"num_samples": 10**6}, 400, "num_samples"),
    Row("POST /asample", "0 new tokens", {"sampling_params": {"max_tokens": 0}}, 400, "max_tokens"),
    Row("POST /asample", "cold", {"sampling_params": {"temperature": -1}}, 400, "temperature"),
    Row("POST /asample", "NaN", {"sampling_params": {"temperature": np.nan}}, 400, "temperature"),
    Row("POST /asample", "top_p of 0", {"sampling_params": {"top_p": 0}}, 400, "top_p"),
    Row("POST /asample", "top_k", {"sampling_params": {"top_k": -9}}, 400, "top_k"),
    Row("POST /asample", "empty stop", {"sampling_params": {"stop": [""]}}, 400, "stop"),
    Row("POST /asample", "odd stop", {"sampling_params": {"stop": {"a": 1}}}, 400, "stop"),
    Row("POST /asample", "mixed stop", {"sampling_params": {"stop": ["a", 5]}}, 400, "stop"),
    Row("POST /asample", "stop token", {"sampling_params": {"stop": [10**6]}}, 400, "vocabulary"),
    Row("POST /asample", "topk", {"topk_prompt_logprobs": 10**6}, 400, "topk_prompt_logprobs"),
    Row("POST /asample", "last_n", {"prompt_logprobs_last_n": 50}, 400, "last_n"),
    Row("POST /asample", "alternatives", {"prompt_alt_tokens_k": 2}, 400, "prompt_alt_tokens_k"),
    Row("POST /retrieve_future", "never asked", {"request_id": "never"}, 410, "unknown"),
    Row("POST /retrieve_future", "no id", {"request_id": GONE}, 400, "request_id"),
    Row(
        "POST /weights_info", "unknown", {"tinker_path": "tinker://a/weights/b"}, 404, "checkpoint"
    ),
    Row("POST /weights_info", "no path", {"tinker_path": "x"}, 400, "path"),
    Row("GET /samplers/no", "unknown", None, 404, "no"),
    Row("GET /checkpoints?limit=0", "limit of 0", None, 400, "limit"),
    Row("GET /checkpoints?limit=x", "limit of x", None, 400, "limit"),
    Row("GET /training_runs?offset=-1", "offset below 0", None, 400, "offset"),
    Row("GET /training_runs/no", "unknown", None, 404, "no"),
    Row("GET /training_runs/no/checkpoints", "unknown", None, 404, "no"),
    Row("GET /sessions/no", "unknown", None, 404, "no"),
    Row("POST /sessions/no/finish", "unknown", {}, 404, "no"),
    *[
        Row(f"{method} /training_runs/<model>/checkpoints/{name}{end}", wrong, body, status, says)
        for method, end, body in (
            ("DELETE", "", None),
            ("PUT", "/ttl", {"ttl_seconds": 60}),
            ("POST", "/publish", None),
            ("GET", "/external_weights_urls", None),
        )
        for name, wrong, status, says in (
            ("weights/never", "never saved", 404, "checkpoint"),
            ("<expired name>", "expired", 404, "expired"),
            ("secrets/x", "no such kind", 400, "path"),
        )
    ],
    Row(
        "GET /training_runs/<model>/checkpoints/<weights name>/external_weights_urls",
        "no export",
        None,
        400,
        "export",
    ),
    Row(
        "PUT /training_runs/<model>/checkpoints/<weights name>/ttl",
        "lifetime below 0",
        {"ttl_seconds": -1},
        400,
        "ttl_seconds",
    ),
    Row("GET /no/such/path", "unknown", None, 404, "Not Found"),
    Row("GET /audit", "a hosted feature", None, 404, "billing"),
    Row("GET /get_info", "wrong method", None, 405, "Method"),
    Row("DELETE /checkpoints", "wrong method", None, 405, "Method"),
]


def wrong_types() -> Iterator[Row]:
    """Every field of every good request with values of other types."""
    skipped = {"tags", "sdk_version", "events", "tokens", "target_tokens", "weights"}
    for path, good in GOOD.items():
        if path == "POST /forward_backward":  # its types are protobuf's
            continue
        for name, value in (good or {}).items():
            if name in skipped:
                continue
            numbers = ("<number>", "<new model>", "<new sampler>", "<new sample>")
            kind = int if value in numbers else type(value)
            for other in (5, "x", True, [], {}, 1.5):
                if type(other) is kind:
                    continue
                yield Row(path, f"{name} is {other!r}", {name: other}, 400, name)


class World:
    """A server, and things made on it that the table speaks of."""

    def __init__(self, url: str, key: str):
        self.key = key
        self.http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1",
            headers={"X-API-Key": key},
            trust_env=False,
            timeout=60,
        )
        self._counts: dict[str, int] = {}
        self.words: dict[str, Any] = {}
        models = self.send("GET /get_server_capabilities").json()["supported_models"]
        self.words["base"] = models[0]["model_name"]
        self.words["session"] = self.send("POST /create_session", {}).json()["session_id"]
        finished = self.send("POST /create_session", {}).json()["session_id"]
        self.send(f"POST /sessions/{finished}/finish", {})
        self.words["finished"] = finished
        self.words["model"] = self.result(self.good("POST /create_model"))["model_id"]
        for word, path in (
            ("weights", "save_weights"),
            ("export", "save_weights_external"),
            ("expired", "save_weights"),
            ("for sampler", "save_weights_for_sampler"),
        ):
            body = {**GOOD["POST /save_weights"], "ttl_seconds": 1 if word == "expired" else 3600}
            saved = self.result(self.send(f"POST /{path}", body))["path"]
            self.words[word] = saved
            self.words[f"{word} name"] = "/".join(saved.split("/")[3:])
            self.words[f"{word} last"] = saved.split("/")[-1]
        told = self.good("POST /create_sampling_session").json()
        self.words["sampler"] = told["sampling_session_id"]
        self.words["result"] = self.good("POST /asample").json()["request_id"]
        self.fetch(self.words["result"])

    def fill(self, value: Any) -> Any:
        """The value with all words in angle brackets replaced."""
        if isinstance(value, dict):
            return {name: self.fill(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.fill(part) for part in value]
        if not isinstance(value, str):
            return value
        if value == "<number>":
            return self._next("number", 1)
        if value == "<new name>":
            return f"name-{self._next('name', 1)}"
        if value in ("<new model>", "<new sampler>", "<new sample>"):
            return self._next(value, 0)
        return re.sub(r"<([a-z ]+)>", lambda found: str(self.words[found[1]]), value)

    def _next(self, what: str, first: int) -> int:
        self._counts[what] = self._counts.get(what, first - 1) + 1
        return self._counts[what]

    def good(self, path: str) -> httpx.Response:
        """The request that succeeds."""
        return self.send(path, GOOD[path])

    def send(self, path: str, body: Any = None, **kwargs: Any) -> httpx.Response:
        """A request of the table, its words filled in."""
        method, _, place = self.fill(path).partition(" ")
        content = body if isinstance(body, bytes) else None
        before = self._counts.get("number", 0)
        if isinstance(body, dict):
            filled = {name: value for name, value in self.fill(body).items() if value is not GONE}
            content = self.encode(place, filled)
        reply = self.http.request(method, place, content=content, **kwargs)
        if reply.status_code >= 400 and self._counts.get("number", 0) > before:
            self._counts["number"] = before  # the number of a refused request is free again
        return reply

    @staticmethod
    def encode(place: str, body: dict[str, Any]) -> bytes:
        """The body as the SDK would write it: protobuf for training data, else JSON."""
        if place != "/forward_backward":
            return json.dumps(body).encode()
        from tinker.proto import tinker_public_pb2 as pb

        message = pb.ForwardBackwardRequest(
            model_id=body["model_id"], seq_id=body["seq_id"], loss_fn=body["loss_fn"]
        )
        for name, value in body.get("config", {}).items():
            message.loss_fn_config_v2[name].number = value
        part = message.data.add()
        part.model_input.add().encoded_text.tokens = np.array(body["tokens"], "<i4").tobytes()
        for name in ("target_tokens", "weights", "mask"):
            if name in body:
                tensor = part.loss_fn_inputs[name]
                kind = "<i8" if name == "target_tokens" else "<f4"
                tensor.dtype = 2 if name == "target_tokens" else 1
                tensor.dense = np.array(body[name], kind).tobytes()
                tensor.shape.append(len(body[name]))
        return message.SerializeToString()

    def fetch(self, request_id: str) -> httpx.Response:
        """The result of a request, asked for until it is there."""
        while True:
            reply = self.send("POST /retrieve_future", {"request_id": request_id})
            if reply.status_code != 408:
                return reply

    def result(self, posted: httpx.Response) -> dict[str, Any]:
        """The JSON result of a request that was taken."""
        assert posted.status_code == 200, posted.text
        return self.fetch(posted.json()["request_id"]).json()
