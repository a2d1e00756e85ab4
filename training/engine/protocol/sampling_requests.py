"""Sampling requests: sampling sessions and what is drawn in them. Knows no HTTP and no torch."""

from typing import Any

from training.engine.errors import BadRequest, NotFound
from training.engine.protocol import checks
from training.engine.protocol.fields import Fields
from training.engine.protocol.files import now
from training.engine.protocol.futures import Reply, Weight
from training.engine.protocol.ordered import Ordered, request_name
from training.engine.protocol.registry import Sampler
from training.engine.protocol.service import MAX_SEQ
from training.engine.protocol.wire import CONTENT_TYPE, encode_sample


class SamplingRequests(Ordered):
    """create_sampling_session, asample, cancel_future."""

    def create_sampler(self, body: Fields) -> dict[str, Any]:
        """POST create_sampling_session."""
        session = self.registry.session(body.text("session_id"))
        number = body.integer("sampling_session_seq_id", low=0, high=MAX_SEQ)
        path = body.text("model_path", None)
        if path is not None:
            self.loadable(path)
        elif not body.has("base_model"):
            raise BadRequest("give base_model or model_path")
        if body.has("base_model"):
            self.check_base(body.text("base_model"))
        sampler_id = f"{session.session_id}:sample:{number}"
        self.registry.new_sampler(
            Sampler(sampler_id, session.session_id, now().isoformat(), self.facts.name, path)
        )
        return {"type": "create_sampling_session", "sampling_session_id": sampler_id}

    def _weights_of(self, sampler: Sampler) -> str:
        if sampler.snapshot is not None:
            folder = self.snapshots / sampler.snapshot
            if not folder.is_dir():
                raise NotFound(f"the weights of sampler {sampler.sampler_id} are gone")
            return f"{folder}#"
        return self.loadable(sampler.model_path).key if sampler.model_path else ""

    def sample(self, body: Fields) -> dict[str, Any]:
        """POST asample."""
        sampler_id = body.text("sampling_session_id", None)
        if sampler_id is None:
            raise BadRequest("sampling_session_id is missing; create a sampling session first")
        sampler = self.registry.sampler(sampler_id)
        seq_id = body.integer("seq_id", low=0, high=MAX_SEQ)
        request_id = request_name(sampler_id, seq_id)
        known = self.futures.known(request_id)
        if known is not None:
            return known
        request = checks.sample_request(self.facts, body, self._weights_of(sampler), sampler_id)

        def start() -> None:
            self.tasks[request_id] = self.compute.sample(
                request,
                self.deliver(request_id, lambda result: Reply(encode_sample(result), CONTENT_TYPE)),
            )

        names = [f"{request_id}:{i}" for i in range(request.num_samples)]
        weight = Weight(sampler_id, request.num_samples, request.prompt.nbytes)
        reply, _ = self.futures.submit(request_id, start, weight, sample_sequence_ids=names)
        return reply
