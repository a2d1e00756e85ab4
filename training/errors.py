"""What training refuses, as people read it.

``TrainingError`` is this room's root; the command line prints any of them as one line. To add an
error: derive from ``TrainingError`` and from the stdlib cousin that a caller would expect, and say
what happened and the remedy in the message.
"""

from db.errors import PersonaLoopError


class TrainingError(PersonaLoopError):
    """Root of this room's errors (the local engine has its own root)."""


class LossRefused(TrainingError, ValueError):
    """A loss was asked for with a wrong name, option or tensor."""


class ConfigRefused(TrainingError, ValueError):
    """A run configuration has an unknown field or a value out of range."""


class AdapterDamaged(TrainingError, ValueError):
    """An adapter folder is incomplete, altered or malformed."""


class AdapterMissing(TrainingError, LookupError):
    """No adapter folder of this id is here."""


class FusionRefused(TrainingError, ValueError):
    """These adapters cannot be added up exactly."""


class JudgeRefused(TrainingError, ValueError):
    """A judge cannot be loaded, failed, or answered something that is not a verdict."""


class TooLittleData(TrainingError, ValueError):
    """Not enough usable pairs, prompts or rows for an honest run; says how many are wanted."""


class NotReady(TooLittleData):
    """The judgments are not good enough to train on; says which question failed and the remedy."""


class AlreadyTrained(TrainingError, ValueError):
    """The very run that is asked for was made before; says which adapter came of it."""


class TickFailed(TrainingError, RuntimeError):
    """Looking at a persona failed; the others were looked at all the same."""


class GateRefused(TrainingError, ValueError):
    """The promotion gate cannot decide now; says what is missing."""


class RunLost(TrainingError, RuntimeError):
    """A run cannot be resumed: its folder or its checkpoint is gone or does not match."""


class ServiceGone(TrainingError, ConnectionError):
    """The model service went away or moved while an answer was awaited; connect again."""


class ServiceRefused(TrainingError, PermissionError):
    """The model service answers and will not: a wrong key, no payment. Trying again is in vain."""


class CheckpointGone(TrainingError, LookupError):
    """The model service no longer keeps a state that is needed: it expired or was deleted."""


class Cancelled(TrainingError, RuntimeError):
    """Somebody asked for the job to stop."""
