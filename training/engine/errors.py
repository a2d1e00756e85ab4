"""What the local engine refuses, with the HTTP status that tells a client so.

``EngineError`` is the root. To add an error: derive from ``EngineError`` and the stdlib cousin
that a caller would expect, and set ``status`` to an HTTP status that the SDK never retries
(400, 403, 404 or 422; not 402, 408, 409, 429 or 5xx), unless waiting helps, as with ``Busy``.
Knows nothing of HTTP beyond that number.
"""

from db.errors import PersonaLoopError


class EngineError(PersonaLoopError, RuntimeError):
    """Root of the engine's errors: the engine cannot start, be reached, or do what was asked."""

    status = 500


class BadRequest(EngineError, ValueError):
    """The request can never succeed as it is; the message names the field and the remedy."""

    status = 400


class Forbidden(EngineError, PermissionError):
    """The thing exists and may not be changed through the engine (a shipped adapter, say)."""

    status = 403


class NotFound(EngineError, LookupError):
    """A model, session or checkpoint that this engine does not have (any more)."""

    status = 404


class Gone(EngineError, LookupError):
    """The result or session existed once; asking again cannot bring it back."""

    status = 410


class Busy(EngineError):
    """There is no room now; the same request succeeds later, so the SDK waits and repeats it."""

    status = 429
