"""All adapters of one base: those being trained, and those sampled from.

Training models that go unused are moved to disk whole (gradients and moments too) and come back by
themselves; nothing is lost. Not safe for threads: the worker owns it. Knows no HTTP.
"""

import json
import shutil
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from training.engine.compute.base import BaseModel
from training.engine.compute.files import (
    AdapterFiles,
    peft_config,
    read_adapter,
    read_optimizer,
)
from training.engine.compute.lora import LoraSet, merged_in, switched_on
from training.engine.compute.training import TrainModel
from training.engine.errors import NotFound
from training.engine.messages import LoraChoice

MERGED_BUDGET_BYTES = 128 * 1024 * 1024
FACTORS_BUDGET_BYTES = 128 * 1024 * 1024


class Models:
    """Training models by id and sampler weights by folder, both bounded in memory.

    Attributes:
        base: the model that all share.
        running: ids of models in the middle of an operation; these are never moved to disk.
    """

    def __init__(self, base: BaseModel, parked: Path, budget_bytes: int):
        """Bind the base.

        Args:
            base: the loaded base model.
            parked: folder for training models that are moved out of memory.
            budget_bytes: memory for training models; the least used leave above it.
        """
        self.base = base
        self._parked = parked
        self._budget = budget_bytes
        self._live: OrderedDict[str, TrainModel] = OrderedDict()
        self.running: set[str] = set()
        self._weights: OrderedDict[str, LoraSet] = OrderedDict()
        self._merged: OrderedDict[str, dict[str, torch.Tensor]] = OrderedDict()

    # Training models

    def create(self, model_id: str, choice: LoraChoice) -> TrainModel:
        """A fresh adapter under this id."""
        return self._add(model_id, TrainModel.create(self.base, choice))

    def create_from(self, model_id: str, folder: Path, *, optimizer: bool) -> TrainModel:
        """An adapter that starts from a saved one, with or without its optimiser's state.

        Raises:
            NotFound, BadRequest: the folder does not hold what is asked for.
        """
        stored = read_adapter(self.base, folder)
        moments = read_optimizer(folder) if optimizer else {}
        model = TrainModel(self.base, stored.shapes, stored.rank, stored.alpha)
        model.load_factors(stored.tensors)
        model.load_optimizer(moments)
        return self._add(model_id, model)

    def replace(self, model_id: str, folder: Path, *, optimizer: bool) -> TrainModel:
        """Load a saved adapter into an existing model (layers and ranks may change with it)."""
        self.get(model_id)
        return self.create_from(model_id, folder, optimizer=optimizer)

    def get(self, model_id: str) -> TrainModel:
        """The model, brought back from disk if it was parked.

        Raises:
            NotFound: there is none of this id.
        """
        model = self._live.get(model_id)
        if model is None:
            model = self._unpark(model_id)
        self._live.move_to_end(model_id)
        return model

    def files(self, model_id: str, *, optimizer: bool) -> AdapterFiles:
        """A copy of the model's state to be written."""
        model = self.get(model_id)
        return AdapterFiles(
            model.lora.tensors(),
            peft_config(self.base, model.lora.shapes),
            self.base.facts.sha256,
            model.optimizer_tensors() if optimizer else None,
        )

    def drop(self, model_id: str) -> None:
        """Forget the model, in memory and on disk."""
        self._live.pop(model_id, None)
        shutil.rmtree(self._folder(model_id), ignore_errors=True)

    def park(self, model_id: str) -> None:
        """Move the model out of memory; the next :meth:`get` brings it back as it was."""
        if model_id in self.running:
            return
        model = self._live.pop(model_id, None)
        if model is None:
            return
        final, temporary = self._folder(model_id), self._folder(model_id + ".new")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        AdapterFiles(
            model.lora.tensors(),
            peft_config(self.base, model.lora.shapes),
            self.base.facts.sha256,
            model.optimizer_tensors(),
        ).write(temporary)
        save_file({"grad": model.lora.grad.cpu()}, temporary / "gradient.safetensors")
        (temporary / "model.json").write_text(
            json.dumps({"rank": model.rank, "alpha": model.alpha}), encoding="utf-8"
        )
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)

    def park_all(self, unfinished: set[str]) -> None:
        """Move every model to disk, so that a restart loses none.

        Args:
            unfinished: models with requests that will not be answered; these are left to be lost,
                because their clients cannot know how much of the requests was done.
        """
        for model_id in set(self._live) - unfinished:
            self.park(model_id)

    def parked(self) -> set[str]:
        """Ids of the models that are on disk."""
        folders = self._parked.glob("*/model.json")
        return {
            f.parent.name.replace("~", ":") for f in folders if not f.parent.name.endswith(".new")
        }

    @property
    def live(self) -> list[str]:
        """Ids of the models in memory, the least recently used first."""
        return list(self._live)

    def _folder(self, model_id: str) -> Path:
        return self._parked / model_id.replace(":", "~")

    def _unpark(self, model_id: str) -> TrainModel:
        folder = self._folder(model_id)
        if not (folder / "model.json").is_file():
            raise NotFound(
                f"model {model_id} is not on this engine (any more); create a training client "
                "from its last saved state"
            )
        grad = load_file(folder / "gradient.safetensors")["grad"]
        model = self.create_from(model_id, folder, optimizer=True)
        model.lora.grad.copy_(grad)
        # What is on disk is stale from the next step on: after a crash it must not come back.
        shutil.rmtree(folder)
        return model

    def _add(self, model_id: str, model: TrainModel) -> TrainModel:
        self._live[model_id] = model
        self._live.move_to_end(model_id)
        excess = sum(m.nbytes for m in self._live.values()) - self._budget
        for other in [m for m in self._live if m != model_id and m not in self.running]:
            if excess <= 0:
                break
            excess -= self._live[other].nbytes
            self.park(other)
        return model

    # Sampler weights

    def sampling_from(self, key: str) -> AbstractContextManager[None]:
        """Run the model with the weights of a folder (empty key: the base itself).

        Weights are merged into copies of the base's layers while those fit the budget; larger
        models add the factors at every step instead.
        """
        if not key:
            return nullcontext()
        lora = self._weights.get(key)
        if lora is None:
            stored = read_adapter(self.base, Path(key.rpartition("#")[0] or key))
            lora = LoraSet(stored.shapes, self.base.device, trainable=False)
            lora.load(stored.tensors)
            self._weights[key] = lora
        self._weights.move_to_end(key)
        excess = sum(w.nbytes for w in self._weights.values()) - FACTORS_BUDGET_BYTES
        while excess > 0 and len(self._weights) > 1:
            excess -= self._weights.popitem(last=False)[1].nbytes
        merged = self._merged_weights(key, lora)
        if merged is None:
            return switched_on(self.base.layers, lora)
        return merged_in(self.base.layers, merged)

    def _merged_weights(self, key: str, lora: LoraSet) -> dict[str, torch.Tensor] | None:
        merged = self._merged.get(key)
        if merged is None:
            size = sum(4 * s.in_features * s.out_features for s in lora.shapes.values())
            if size > MERGED_BUDGET_BYTES:
                return None
            with torch.no_grad():
                merged = {
                    path: self.base.layers[path].merge(factors)
                    for path, factors in lora.factors.items()
                }
            self._merged[key] = merged
            room = max(1, MERGED_BUDGET_BYTES // max(size, 1))
            while len(self._merged) > room:
                self._merged.popitem(last=False)
        self._merged.move_to_end(key)
        return merged
