"""A compute without torch, for tests of the protocol's own state."""

from training.engine.messages import ModelFacts
from training.engine.protocol.fields import Fields

FACTS = ModelFacts("/models/./tiny", "Llama", 64, 260, (3,))


class FakeCompute:
    """Remembers operations; runs them on a model table that remembers too."""

    def __init__(self):
        self.operations: list[tuple[str, object]] = []
        self.cancelled: list[object] = []
        self.parked: list[str] = []
        self.dropped: list[str] = []

    def submit(self, model_id, operation, done):
        self.operations.append((model_id, operation))
        operation(self)

    def sample(self, request, done):
        self.operations.append(("sample", request))
        return request

    def cancel(self, task):
        self.cancelled.append(task)

    def create(self, model_id, choice): ...

    def get(self, model_id):
        return self

    def optim_step(self, params): ...

    def park(self, model_id):
        self.parked.append(model_id)

    def drop(self, model_id):
        self.dropped.append(model_id)


def new_model(requests, number=0, session=None):
    session = session or requests.registry.new_session(None, None).session_id
    body = {
        "session_id": session,
        "model_seq_id": number,
        "base_model": FACTS.name,
        "lora_config": {"rank": 4},
    }
    return session, requests.create_model(Fields(body))["model_id"]
