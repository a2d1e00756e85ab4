"""From a training client to an adapter folder: PEFT export, download, card.

Knows the SDK's export calls. Does not know what was trained or why.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.adapters import (
    PEFT_CONFIG,
    WEIGHTS,
    AdapterCard,
    read_card,
    verify_adapter,
    write_adapter,
)
from training.downloads import download_external
from training.errors import AdapterDamaged, AdapterMissing
from training.runs import RunFolder
from training.service import Service

if TYPE_CHECKING:
    import tinker

log = logging.getLogger(__name__)


def made_already(
    service: Service, folder: Path, run: RunFolder, identity: Mapping[str, Any]
) -> AdapterCard | None:
    """The adapter, where this very run has written it before; None where it is still to be made.

    Args:
        service: whose base model it must fit.
        folder: the adapter folder.
        run: the run's folder.
        identity: everything that decides the run's outcome.

    Raises:
        AdapterDamaged: the id is taken by an adapter of another run, or the folder was altered.
    """
    try:
        read_card(folder)
    except AdapterMissing:
        return None
    if not run.began_with(identity):
        raise AdapterDamaged(
            f"{folder}: an adapter with this id is there already, made by another run or with other"
            " data; adapters are never replaced, choose another id"
        )
    return verify_adapter(folder, service.base_sha256)


def export_adapter(
    service: Service, client: "tinker.TrainingClient", folder: Path, card: AdapterCard
) -> AdapterCard:
    """Write the client's weights as an adapter folder.

    On hosted Tinker the service's own state and sampler paths are kept in the card too, because
    weights cannot be uploaded again. Both are saved with a lifetime, so that an export that is
    killed leaves nothing for ever, and pinned once the folder is there.

    Args:
        service: where the client lives.
        client: its weights are exported as they are when this request's turn comes.
        folder: as `training.adapters.write_adapter` takes it.
        card: everything but files, created and service.

    Raises:
        AdapterDamaged: the export is not whole, or the folder holds other weights.
    """
    lifetime = service.checkpoint_seconds
    path = service.wait(client.save_weights_external(card.id, ttl_seconds=lifetime)).path
    if service.hosted:
        state = service.wait(client.save_state(card.id, ttl_seconds=lifetime)).path
        sampler = service.wait(client.save_weights_for_sampler(card.id, ttl_seconds=lifetime)).path
        card = replace(card, service={"state": state, "sampler": sampler})
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{card.id}-download-", dir=folder.parent))

    def urls() -> Mapping[str, str]:
        return service.wait(service.rest.get_external_weights_urls(path)).urls

    try:
        download_external(urls, temporary, check=service.check)
        config = _peft_config(temporary)
        if "alpha" in card.config and card.config["alpha"] is None:
            card = replace(card, config={**card.config, "alpha": config.get("lora_alpha")})
            log.info("%s: alpha %s, read from the export", card.id, config.get("lora_alpha"))
        written = write_adapter(folder, temporary / WEIGHTS, config, card)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    pin(service, written)
    service.forget(path)
    return written


def pin(service: Service, card: AdapterCard) -> None:
    """Let an adapter's own states on hosted Tinker live for ever; nothing on the local engine.

    Raises:
        CheckpointGone: the service no longer keeps one of them.
    """
    if service.hosted:
        for path in service.paths(card):
            service.keep(path, None)


def _peft_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / PEFT_CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise AdapterDamaged(f"the export's {PEFT_CONFIG} is not valid JSON") from error
    if not isinstance(config, dict):
        raise AdapterDamaged(f"the export's {PEFT_CONFIG} is not a JSON object")
    return config
