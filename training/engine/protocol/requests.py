"""All requests in one object, as the routes call them."""

from training.engine.protocol.sampling_requests import SamplingRequests
from training.engine.protocol.saving_requests import SavingRequests
from training.engine.protocol.training_requests import TrainingRequests


class Requests(TrainingRequests, SavingRequests, SamplingRequests):
    """Training, saving and sampling over one registry, store and compute."""
