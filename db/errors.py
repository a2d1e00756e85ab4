"""What can go wrong with the ledger, as people read it.

``PersonaLoopError`` is the root that the command line prints as one line. To add an error: derive
from ``LedgerError`` and from the stdlib cousin that a caller would expect, and say what happened
and the remedy in the message.
"""


class PersonaLoopError(Exception):
    """A mistake or refusal that a person can act on; printed as one line, exit status 1."""


class LedgerError(PersonaLoopError):
    """Root of this room's errors."""


class NotFound(LedgerError, LookupError):
    """Something asked for by name or id is not in the ledger."""


class Refused(LedgerError, ValueError):
    """The ledger's rules forbid it (a second judgment, an expired lease, a bad value)."""


class ImportRefused(LedgerError, ValueError):
    """A file to import has a bad row; nothing of it was taken."""


class MigrationNeeded(LedgerError, RuntimeError):
    """The database is older or newer than this code."""


class Busy(LedgerError, TimeoutError):
    """Another process kept the database locked for longer than anybody should wait."""


class AlreadyJudged(Refused):
    """This assignment has its judgment; the first one counts and nothing was changed."""


class TooSoon(Refused):
    """The verdict came before both responses could have been read."""


class LeaseLost(Refused):
    """The lease ran out and somebody else has the work now."""


class WrongPassword(Refused):
    """Name and password do not go together; whether the name exists is not told."""


class TooManyTries(Refused):
    """Too many passwords were tried for this name or from this address; later is fine.

    Attributes:
        seconds: How long to wait.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many tries; wait {seconds} seconds before the next one")
        self.seconds = seconds


class JobCancelled(Refused):
    """The job was cancelled while it ran; its worker stops and cleans up."""


class Paused(Refused):
    """No pair is handed to this person until an admin lets them go on."""


class IncumbentChanged(Refused):
    """Another adapter answers by now than the one that the caller decided about."""


class Away(LeaseLost):
    """A pair was kept as long as one may be without an answer; the person may be gone."""
