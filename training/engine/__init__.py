"""The local engine: a server that speaks Tinker's protocol over torch.

``connect()`` finds or starts it, or goes to hosted Tinker when ``TINKER_API_KEY`` is set. It has
two rooms: ``protocol`` (HTTP, no torch) and ``compute`` (torch, no HTTP); they meet in ``serve``.
Importing this package imports neither torch nor tinker.
"""

from training.engine.connection import connect
from training.engine.errors import EngineError
from training.engine.settings import EngineSettings
from training.engine.supervision import EngineSupervisor

__all__ = ["EngineError", "EngineSettings", "EngineSupervisor", "connect"]
