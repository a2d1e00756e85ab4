"""Saving requests: copied on the worker, written and published on the disk's thread."""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.engine.errors import BadRequest, EngineError
from training.engine.protocol.checkpoint import check_name
from training.engine.protocol.fields import Fields
from training.engine.protocol.files import now
from training.engine.protocol.futures import Reply, failure, json_reply
from training.engine.protocol.ordered import Ordered
from training.engine.protocol.registry import Sampler
from training.engine.protocol.service import MAX_SEQ

MAX_TTL_S = 10 * 366 * 86400


class SavingRequests(Ordered):
    """save_weights, save_weights_for_sampler, save_weights_external."""

    def save(self, body: Fields, kind: str, reply_type: str) -> dict[str, Any]:
        """POST save_weights, save_weights_for_sampler (named), save_weights_external."""
        model_id = body.text("model_id")
        run = self.live_run(model_id)
        seq_id = body.integer("seq_id")
        with self.numbered(model_id, seq_id):
            name = check_name(body.text("path", None) or f"checkpoint-{seq_id:06d}")
            overwrite = body.flag("overwrite", False)
            ttl = body.integer("ttl_seconds", None, low=1, high=MAX_TTL_S)
            user_metadata = body.strings("user_metadata")
            if body.items("age_encryption_recipients", None):
                raise BadRequest(
                    "age_encryption_recipients: this engine does not encrypt; the files never "
                    "leave this machine unless you copy them"
                )

        def publish(written: Path) -> Reply:
            checkpoint = self.store.publish(
                written,
                model_id,
                kind,
                name,
                facts=run.facts,
                user_metadata=user_metadata,
                ttl_seconds=ttl,
                overwrite=overwrite,
            )
            return json_reply({"type": reply_type, "path": checkpoint.path})

        def start(request_id: str) -> None:
            self._save(request_id, model_id, self.store.begin, publish, kind == "weights")

        return self.accept(model_id, seq_id, start)

    def save_snapshot(self, body: Fields) -> dict[str, Any]:
        """POST save_weights_for_sampler without a name: private weights for one new sampler."""
        model_id = body.text("model_id")
        run = self.live_run(model_id)
        seq_id = body.integer("seq_id")
        with self.numbered(model_id, seq_id):
            number = body.integer("sampling_session_seq_id", low=0, high=MAX_SEQ)
        sampler_id = f"{run.session_id}:sample:{number}"
        self.make_room_for_snapshot()

        def begin_folder() -> Path:
            return self.store.begin()

        def publish(written: Path) -> Reply:
            folder = self.snapshots / secrets.token_hex(12)
            # Noted first: what no sampler names may be swept at any moment.
            self.registry.new_sampler(
                Sampler(
                    sampler_id,
                    run.session_id,
                    now().isoformat(),
                    self.facts.name,
                    snapshot=folder.name,
                )
            )
            written.rename(folder)
            return json_reply(
                {"type": "save_weights_for_sampler", "sampling_session_id": sampler_id}
            )

        def start(request_id: str) -> None:
            self._save(request_id, model_id, begin_folder, publish, False)

        return self.accept(model_id, seq_id, start)

    def _save(
        self,
        request_id: str,
        model_id: str,
        begin: Callable[[], Path],
        publish: Callable[[Path], Reply],
        optimizer: bool,
    ) -> None:
        """Copy the model's state on the worker, write and publish it on the disk's thread."""

        def write(files: Any) -> None:
            folder: Path | None = None
            try:
                folder = begin()
                files.write(folder)
                reply = publish(folder)
            except Exception as error:  # noqa: BLE001 - a full disk, a taken name: the request's answer
                reply = failure(error if isinstance(error, EngineError) else _disk_error(error))
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)
            self.futures.resolve(request_id, reply)

        def done(files: Any, error: Exception | None) -> None:
            if error is not None:
                self.futures.resolve(request_id, failure(error))
            else:
                self.disk.submit(write, files)

        self.compute.submit(
            model_id, lambda models: models.files(model_id, optimizer=optimizer), done
        )


def _disk_error(error: Exception) -> Exception:
    if isinstance(error, OSError):
        return EngineError(f"the checkpoint could not be written: {error.strerror or error}")
    return error
