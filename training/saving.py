"""Saving a run's state so that a kill leaves nothing behind: intent first, then state, then note.

Knows the run folder's ``intent.json`` and the service's saved states. Does not know training.

The intent says which state is about to be written and which one it replaces. Whoever takes the run
up reads it: the run goes on from ``checkpoint.json`` alone, so the state of an intent that never
became the checkpoint is deleted from the service, and so is the one that a finished intent
replaced.
"""

from typing import TYPE_CHECKING

from training.runs import Checkpoint, RunFolder
from training.service import Service

if TYPE_CHECKING:
    import tinker

INTENT = "intent.json"


def save_checkpoint(
    service: Service,
    client: "tinker.TrainingClient",
    run: RunFolder,
    step: int,
    before: Checkpoint | None,
    prefix: str = "",
) -> Checkpoint:
    """Save weights and optimizer, note it, and delete the state before it.

    Args:
        service: where it is saved.
        client: whose weights.
        run: the run's folder.
        step: steps done.
        before: the state that this one replaces.
        prefix: of its name on the service.
    """
    name = f"{prefix}step-{step:06d}"
    path = f"tinker://{client.model_id}/weights/{name}"
    run.write(INTENT, {"step": step, "path": path, "replaces": before.path if before else None})
    saved = service.wait(client.save_state(name, ttl_seconds=service.checkpoint_seconds))
    made = Checkpoint(step, saved.path)
    run.put_checkpoint(made.step, made.path)
    service.forget(before.path if before else None)
    run.remove(INTENT)
    return made


def clear_intent(service: Service, run: RunFolder) -> None:
    """Delete what a kill in `save_checkpoint` left on the service."""
    intent = run.read(INTENT)
    if intent is None:
        return
    checkpoint = run.checkpoint()
    orphan = intent["path"]
    if checkpoint is not None and checkpoint.step == intent["step"]:
        orphan = intent["replaces"]
    service.forget(orphan)
    run.remove(INTENT)
