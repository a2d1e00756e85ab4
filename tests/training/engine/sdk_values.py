"""Building the SDK's values in few words."""

import numpy as np
import torch
from tinker import types


def datum(tokens: list[int], weights=None) -> types.Datum:
    """A next-token datum: inputs, shifted targets, weights (default 1)."""
    inputs: dict = {"target_tokens": tokens[1:]}
    inputs["weights"] = list(weights) if weights is not None else [1.0] * (len(tokens) - 1)
    return types.Datum(model_input=types.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs)


def tokens(seed: int, n: int) -> list[int]:
    return np.random.default_rng(seed).integers(4, 259, n).tolist()


def factors_of(folder) -> dict[str, torch.Tensor]:
    """An exported adapter's tensors."""
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def running_store(running):
    """The running engine's store, read beside it (a new Store would sweep under its feet)."""
    from training.engine.protocol.adapter_folders import AdapterFolders
    from training.engine.protocol.store import Store

    store = Store.__new__(Store)
    store._root = running.settings.state_dir / "checkpoints"
    store._adapters = AdapterFolders(running.settings.adapters, "")
    return store


def checkpoint_folder(running, path: str):
    """Where the engine keeps a checkpoint's files."""
    return running_store(running).get(path).folder


def plain_model(base_folder, adapter_folder=None):
    """The model as transformers and PEFT load it, for comparison."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    if adapter_folder is None:
        return model.eval()
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter_folder, is_trainable=True).eval()
