"""What every request needs: the served base, checkpoints, and turning results into replies.

Between routes (HTTP) and worker (torch): it knows models, checkpoints and futures, neither HTTP nor
torch. Used on the event loop's thread; results come back from the worker's and the disk's threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from training.engine.errors import BadRequest, NotFound
from training.engine.hashes import check_base_hash
from training.engine.messages import ModelFacts, SampleRequest
from training.engine.protocol.checkpoint import Checkpoint
from training.engine.protocol.futures import Futures, Reply, failure
from training.engine.protocol.registry import Registry, Run
from training.engine.protocol.store import Store
from training.engine.protocol.turns import Turns
from training.engine.settings import EngineSettings

MAX_SEQ = 2**53
"""Largest number of a model, a sampler or a request: what JSON carries exactly."""


class Compute(Protocol):
    """The compute as the protocol sees it: ``training.engine.compute.worker.Worker``."""

    def submit(self, model_id: str, operation: Any, done: Callable[[Any, Any], None]) -> None:
        """Queue an operation on the models."""

    def sample(self, request: SampleRequest, done: Callable[[Any, Any], None]) -> Any:
        """Queue a sampling request."""

    def cancel(self, task: Any) -> None:
        """Stop a sampling request."""


class Service:
    """What all requests need.

    Attributes:
        facts: limits of the base model.
        alive: ids of the training models that the compute has, in memory or parked.
        futures, registry, store: the protocol's state.
        tasks: the compute's sampling tasks by request id.
        turns: the order of each model's training requests.
        later: calls a function after so many seconds on the event loop; set by the application.
    """

    def __init__(
        self, settings: EngineSettings, facts: ModelFacts, compute: Compute, alive: set[str]
    ):
        self.settings = settings
        self.facts = facts
        self.compute = compute
        self.alive = alive
        self.limits = settings.limits
        self.futures = Futures(settings.result_ttl_s, self.limits)
        self.store = Store(settings.state_dir / "checkpoints", settings.adapters, facts.name)
        self.registry = Registry(settings.state_dir, facts.name, self.limits, alive)
        self.snapshots = settings.state_dir / "snapshots"
        self.snapshots.mkdir(parents=True, exist_ok=True)
        self.disk = ThreadPoolExecutor(2, thread_name_prefix="engine-disk")
        self.tasks: dict[str, Any] = {}
        self.futures.finished = lambda request_id: self.tasks.pop(request_id, None)
        self.later: Callable[[float, Callable[[], None]], Any] = lambda _seconds, _call: None
        self.turns: dict[str, Turns] = {}

    # Helpers

    def check_base(self, name: str) -> None:
        """Refuse another base model than the one served; any spelling of its folder will do.

        Raises:
            BadRequest: it is another.
        """
        served = Path(self.facts.name)
        if (
            name != self.facts.name
            and name != served.name
            and Path(name).resolve() != served.resolve()
        ):
            raise BadRequest(
                f"base model {name!r} is not served here; this engine serves {self.facts.name}"
            )

    def deliver(
        self,
        request_id: str,
        encode: Callable[[Any], Reply],
        failed: Callable[[], None] | None = None,
    ) -> Callable[[Any, Exception | None], None]:
        """A callback that turns the worker's result into the request's reply."""

        def done(value: Any, error: Exception | None) -> None:
            try:
                reply = failure(error) if error is not None else encode(value)
            except Exception as encoding_error:  # noqa: BLE001 - must answer whatever happens
                reply = failure(encoding_error)
            self.futures.resolve(request_id, reply, failed if error is not None else None)

        return done

    def live_run(self, model_id: str) -> Run:
        """The run of a model that still exists.

        Raises:
            NotFound: never made, freed with its session, or lost in a crash.
        """
        run = self.registry.run(model_id)
        if model_id not in self.alive:
            raise NotFound(
                f"model {model_id} is not on this engine any more; create a training client from "
                "its last saved state"
            )
        return run

    def loadable(self, path: str) -> Checkpoint:
        """The checkpoint at a path, if this engine's base model can take it.

        Raises:
            BadRequest, NotFound: it cannot, or is not there.
        """
        checkpoint = self.store.get(path)
        if checkpoint.kind == "external_weights":
            raise BadRequest(
                f"{path} is an export for download; load its weights/ checkpoint instead"
            )
        self.check_base(str(checkpoint.facts["base_model"]))
        check_base_hash(checkpoint.folder, self.facts.sha256, path)
        return checkpoint
