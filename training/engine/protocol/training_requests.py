"""Training requests: models made, trained and loaded. Knows no HTTP and no torch."""

from collections.abc import Callable, Mapping
from typing import Any

from training.engine.errors import BadRequest
from training.engine.protocol import checks
from training.engine.protocol.checkpoint import Checkpoint
from training.engine.protocol.fields import Fields
from training.engine.protocol.futures import Reply, Weight, json_reply
from training.engine.protocol.ordered import Ordered
from training.engine.protocol.service import MAX_SEQ
from training.engine.protocol.wire import CONTENT_TYPE, ForwardBackward, encode_forward_backward

SWITCHES = ("train_attn", "train_mlp", "train_unembed")


class TrainingRequests(Ordered):
    """create_model, load_weights, get_info, forward_backward, optim_step."""

    def create_model(self, body: Fields) -> dict[str, Any]:
        """POST create_model."""
        self.check_base(body.text("base_model"))
        checks.check_optimizer(body)
        choice = checks.lora_choice(body)
        facts = {
            "base_model": self.facts.name,
            "rank": choice.rank,
            "alpha": choice.alpha,
            "train_attn": choice.train_attn,
            "train_mlp": choice.train_mlp,
            "train_unembed": choice.train_unembed,
            "run_metadata": body.strings("user_metadata"),
        }

        def start(model_id: str, request_id: str) -> None:
            self.compute.submit(
                model_id,
                lambda models: models.create(model_id, choice),
                self.deliver(
                    request_id,
                    lambda _: json_reply({"type": "create_model", "model_id": model_id}),
                    lambda: self._forget_run(model_id),
                ),
            )

        return self._new_model(body, facts, start)

    def _new_model(
        self, body: Fields, facts: dict[str, Any], start: Callable[[str, str], None]
    ) -> dict[str, Any]:
        session = self.registry.session(body.text("session_id"))
        number = body.integer("model_seq_id", low=0, high=MAX_SEQ)
        model_id = f"{session.session_id}:train:{number}"

        def begin() -> None:
            if model_id in self.registry.runs.records:
                raise BadRequest(f"model {model_id} exists already")
            self.make_room_for_model()
            self.registry.new_run(model_id, session.session_id, facts)
            self.alive.add(model_id)
            start(model_id, f"{model_id}:0")

        weight = Weight(session.session_id)
        reply, _ = self.futures.submit(f"{model_id}:0", begin, weight, model_id=model_id)
        return reply

    def _forget_run(self, model_id: str) -> None:
        """A model that could not be made was never there."""
        self.alive.discard(model_id)
        self.turns.pop(model_id, None)
        self.registry.runs.remove(model_id)

    def load_weights(self, body: Fields) -> dict[str, Any]:
        """POST load_weights: into an existing model, or as the first request of a new one."""
        if not body.has("model_id"):
            return self._load_new(body, *self._to_load(body))
        model_id, seq_id = body.text("model_id"), body.integer("seq_id")
        self.live_run(model_id)
        known = self.known(model_id, seq_id)
        if known is not None:
            return known
        with self.numbered(model_id, seq_id):
            checkpoint, optimizer = self._to_load(body)

        def begin(request_id: str) -> None:
            self.compute.submit(
                model_id,
                lambda models: models.replace(model_id, checkpoint.folder, optimizer=optimizer),
                self.deliver(request_id, self._loaded(model_id, checkpoint)),
            )

        return self.accept(model_id, seq_id, begin)

    def _to_load(self, body: Fields) -> tuple[Checkpoint, bool]:
        """The checkpoint that is asked for, and whether with its optimiser's state."""
        checkpoint = self.loadable(body.text("path"))
        optimizer = body.flag("optimizer")
        if optimizer and checkpoint.kind != "weights":
            raise BadRequest(f"{checkpoint.path} has no optimizer state; load it without")
        if optimizer and checkpoint.read_only:
            raise BadRequest(
                f"{checkpoint.path} is an adapter folder without optimizer state; use "
                "create_training_client_from_state (weights only)"
            )
        checks.check_optimizer(body)
        if body.has("base_model"):
            self.check_base(body.text("base_model"))
        return checkpoint, optimizer

    def _loaded(self, model_id: str, checkpoint: Checkpoint) -> Callable[[Any], Reply]:
        def finish(model: Any) -> Reply:
            run = self.registry.run(model_id)
            switches = {name: checkpoint.facts.get(name) for name in SWITCHES}
            run.facts = {**run.facts, **switches, "rank": model.rank, "alpha": model.alpha}
            self.registry.runs.put(run)
            return json_reply(
                {"type": "load_weights", "path": checkpoint.path, "model_id": model_id}
            )

        return finish

    def _load_new(self, body: Fields, checkpoint: Checkpoint, optimizer: bool) -> dict[str, Any]:
        facts = dict(checkpoint.facts)
        facts["parent"] = checkpoint.path
        if body.has("user_metadata"):
            facts["run_metadata"] = body.strings("user_metadata")

        def start(model_id: str, request_id: str) -> None:
            self.compute.submit(
                model_id,
                lambda models: models.create_from(model_id, checkpoint.folder, optimizer=optimizer),
                self.deliver(
                    request_id,
                    self._loaded(model_id, checkpoint),
                    lambda: self._forget_run(model_id),
                ),
            )

        return self._new_model(body, facts, start)

    def info(self, model_id: str) -> dict[str, Any]:
        """POST get_info."""
        run = self.live_run(model_id)
        return {
            "model_id": model_id,
            "model_data": {
                "arch": self.facts.architecture,
                "model_name": self.facts.name,
                "tokenizer_id": self.facts.name,
            },
            "is_lora": True,
            "lora_rank": run.facts.get("rank"),
            "model_name": self.facts.name,
            "optimizer_config": {"type": "adamw"},
        }

    def forward_backward(self, request: ForwardBackward) -> dict[str, Any]:
        """POST forward_backward."""
        self.live_run(request.model_id)
        known = self.known(request.model_id, request.seq_id)
        if known is not None:
            return known
        with self.numbered(request.model_id, request.seq_id):
            options = checks.check_options(request.loss, request.options)
            data = checks.check_data(self.facts, request.loss, request.data())

        def start(request_id: str) -> None:
            self.compute.submit(
                request.model_id,
                lambda models: models.get(request.model_id).forward_backward(
                    data, request.loss, options, backward=not request.forward_only
                ),
                self.deliver(
                    request_id,
                    lambda result: Reply(encode_forward_backward(result), CONTENT_TYPE),
                ),
            )

        return self.accept(request.model_id, request.seq_id, start, request.size)

    def optim_step(self, body: Fields) -> dict[str, Any]:
        """POST optim_step."""
        model_id = body.text("model_id")
        self.live_run(model_id)
        seq_id = body.integer("seq_id")
        with self.numbered(model_id, seq_id):
            params = checks.adam_params(body)

        def start(request_id: str) -> None:
            self.compute.submit(
                model_id,
                lambda models: models.get(model_id).optim_step(params),
                self.deliver(request_id, lambda metrics: json_reply({"metrics": metrics})),
            )

        return self.accept(model_id, seq_id, start)

    def facts_of(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """What POST weights_info tells of a checkpoint."""
        facts = checkpoint.facts
        return {
            "base_model": facts["base_model"],
            "is_lora": True,
            "lora_rank": facts.get("rank"),
            "train_attn": facts.get("train_attn"),
            "train_mlp": facts.get("train_mlp"),
            "train_unembed": facts.get("train_unembed"),
        }
