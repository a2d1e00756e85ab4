"""Sides that train: steps through the SDK, called directly, by hand with peft, and their floor."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.engine import DPO_BETA, PAIRS, STEPS, Work
from bench.engine_data import base_matrices, preference_rows


@contextmanager
def _engine() -> Iterator[Any]:
    """A service client of an engine of its own, and that engine's process id."""
    os.environ.pop("TINKER_API_KEY", None)
    from training.engine import EngineSettings, EngineSupervisor, connect
    from training.engine.connection import find

    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(state_dir=Path(folder))
        with EngineSupervisor(settings):
            client = connect(settings)
            told = find(settings)
            assert told is not None
            yield (
                client.create_lora_training_client(told["base_model"], rank=8, seed=3),
                told["pid"],
            )


@contextmanager
def sdk_steps() -> Iterator[Work]:
    """Steps through SDK, HTTP and queue; each is submitted before the last has answered."""
    import tinker

    chosen = [one for one, _ in preference_rows()]
    data = [sequence.datum(1 / 500) for sequence in chosen]
    with _engine() as (client, pid):

        def work() -> dict[str, Any]:
            sent = []
            for _ in range(STEPS):
                sent.append(client.forward_backward(data, "cross_entropy"))
                sent.append(client.optim_step(tinker.AdamParams(learning_rate=1e-5)))
            for future in sent:
                future.result()
            return {"tokens": sum(map(len, chosen)), "engine_bytes": peak_bytes(pid)}

        yield work


@contextmanager
def direct_steps() -> Iterator[Work]:
    """The engine's compute room alone, in this process."""
    import numpy as np

    from db.settings import base_model_dir
    from training.engine.compute.base import BaseModel
    from training.engine.compute.training import TrainModel
    from training.engine.messages import AdamParams, Datum, LoraChoice

    model = TrainModel.create(BaseModel(base_model_dir()), LoraChoice(rank=8, alpha=16, seed=3))
    data = []
    for one, _ in preference_rows():
        tokens = np.array([*one.prompt, *one.completion], np.int64)
        weights = np.zeros(len(tokens) - 1, np.float32)
        weights[len(one.prompt) - 1 :] = 1 / 500
        data.append(Datum(tokens[:-1], {"target_tokens": tokens[1:], "weights": weights}))

    def work() -> None:
        for _ in range(STEPS):
            for _ in model.forward_backward(data, "cross_entropy", {}, backward=True):
                pass
            model.optim_step(AdamParams(learning_rate=1e-5))

    yield work


@contextmanager
def sdk_dpo() -> Iterator[Work]:
    """Steps as `training.dpo` sends them: custom loss and optimizer together, two on their way."""
    import tinker

    from training.datums import EncodedPair
    from training.dpo_config import DPOConfig
    from training.dpo_loss import Told, loss_of
    from training.reference import HeldTo

    pairs = [
        EncodedPair(c, r, 1.0, 1.0, (i,), str(i)) for i, (c, r) in enumerate(preference_rows())
    ]
    sides = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    data = [side.datum() for side in sides]
    config = DPOConfig(beta=DPO_BETA)
    with _engine() as (client, _):
        outputs = client.forward(data, "cross_entropy").result().loss_fn_outputs
        known = {
            side.sha256: float(output["logprobs"].to_numpy()[len(side.prompt) - 1 :].sum())
            for side, output in zip(sides, outputs, strict=True)
        }
        data = HeldTo(known, {}).data(pairs)
        told: list[Told] = []

        def work() -> dict[str, Any]:
            sent: list[Any] = []
            for _ in range(STEPS):
                told.append({})
                loss = loss_of(pairs, data, config, told[-1])
                sent.append(client.forward_backward_custom(data, loss))
                sent.append(client.optim_step(tinker.AdamParams(learning_rate=1e-5)))
                while len(sent) > 2:
                    sent.pop(0).result()
            for future in sent:
                future.result()
            return {"first_loss": told[0]["loss"]}

        yield work


@contextmanager
def peft_dpo() -> Iterator[Work]:
    """What one writes by hand: peft's LoRA, all sequences in one padded batch, autograd, AdamW."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.nn.functional import logsigmoid
    from transformers import AutoModelForCausalLM

    from db.settings import base_model_dir

    base: Any = AutoModelForCausalLM.from_pretrained(
        base_model_dir(), dtype=torch.float32, local_files_only=True
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    choice = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(base, choice).to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, betas=(0.9, 0.95), eps=1e-12, weight_decay=0)
    pairs = preference_rows()
    both = [one for one, _ in pairs] + [other for _, other in pairs]
    width = max(map(len, both))
    ids = torch.zeros(len(both), width, dtype=torch.long)
    counted = torch.zeros(len(both), width - 1)
    for row, one in enumerate(both):
        ids[row, : len(one)] = torch.tensor([*one.prompt, *one.completion])
        counted[row, len(one.prompt) - 1 : len(one) - 1] = 1
    ids, counted = ids.to(device), counted.to(device)

    def sums() -> Any:
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        picked = torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None])[..., 0]
        return (picked * counted).sum(1)

    with torch.no_grad():
        reference = sums()
    first: list[float] = []

    def work() -> dict[str, Any]:
        for _ in range(STEPS):
            gain = sums() - reference
            loss = -logsigmoid(DPO_BETA * (gain[:PAIRS] - gain[PAIRS:])).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            first.append(float(loss.detach()))
        return {"first_loss": first[0]}

    yield work


@contextmanager
def training_products(sides: int) -> Iterator[Work]:
    """Each matrix times all tokens of a step, once forward and once back to the activations."""
    import torch

    weights = base_matrices()
    tokens = sum(len(side) for pair in preference_rows() for side in pair[:sides])
    inputs = [torch.randn(tokens, w.shape[1], device=w.device) for w in weights]
    back = [torch.randn(tokens, w.shape[0], device=w.device) for w in weights]

    def work() -> None:
        with torch.inference_mode():
            for _ in range(STEPS):
                for x, y, w in zip(inputs, back, weights, strict=True):
                    torch.mm(x, w.T)
                    torch.mm(y, w)

    yield work


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
