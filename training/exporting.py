"""From a training client to an adapter folder: PEFT export, download, card.

Knows the SDK's export calls. Does not know what was trained or why.
"""

import json
import shutil
import tempfile
import urllib.request
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
from training.errors import AdapterDamaged, AdapterMissing
from training.runs import RunFolder
from training.service import Service

if TYPE_CHECKING:
    import tinker


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

    On hosted Tinker the service's own state and sampler paths are kept in the card too, without
    expiry, because weights cannot be uploaded again.

    Args:
        service: where the client lives.
        client: its weights are exported as they are when this request's turn comes.
        folder: as `training.adapters.write_adapter` takes it.
        card: everything but files, created and service.

    Raises:
        AdapterDamaged: the export is not whole, or the folder holds other weights.
    """
    path = service.wait(client.save_weights_external(card.id)).path
    if service.hosted:
        state = service.wait(client.save_state(card.id)).path
        sampler = service.wait(client.save_weights_for_sampler(card.id)).path
        card = replace(card, service={"state": state, "sampler": sampler})
    urls = service.wait(service.rest.get_external_weights_urls(path)).urls
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{card.id}-download-", dir=folder.parent))
    try:
        download_external(urls, temporary)
        try:
            config = json.loads((temporary / PEFT_CONFIG).read_text(encoding="utf-8"))
        except ValueError as error:
            raise AdapterDamaged(f"the export's {PEFT_CONFIG} is not valid JSON") from error
        written = write_adapter(folder, temporary / WEIGHTS, config, card)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if not service.hosted:
        service.wait(service.rest.delete_checkpoint_from_tinker_path(path))
    return written


def download_external(urls: Mapping[str, str], into: Path, timeout: float = 120.0) -> None:
    """Fetch the PEFT files of an external export (RestClient.get_external_weights_urls).

    Args:
        urls: address of each file by its name.
        into: an existing folder.
        timeout: seconds to wait for each answer.

    Raises:
        AdapterDamaged: one of the two files that PEFT needs is not among them.
    """
    for name in (WEIGHTS, PEFT_CONFIG):
        if name not in urls:
            raise AdapterDamaged(f"the export has no {name}; it has {', '.join(sorted(urls))}")
        if not urls[name].startswith(("http://", "https://")):
            raise AdapterDamaged(f"the export's address of {name} is not http(s)")
        local = urls[name].startswith(("http://127.0.0.1", "http://localhost"))
        handlers = [urllib.request.ProxyHandler({})] if local else []
        opener = urllib.request.build_opener(*handlers)
        with opener.open(urls[name], timeout=timeout) as answer, (into / name).open("wb") as file:
            shutil.copyfileobj(answer, file)
