"""One LoRA model being trained: forward and backward over micro-batches, AdamW, its whole state.

Gradients add up over calls until the optimiser's step; losses are plain sums, so splitting a batch
into calls or micro-batches changes nothing but the order of float sums. Knows no requests, no disk.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from training.engine.compute.base import BaseModel
from training.engine.compute.kept_graphs import Kept, fits
from training.engine.compute.lora import LoraSet, Shape, chosen_layers, switched_on
from training.engine.compute.losses import LOSSES
from training.engine.errors import BadRequest
from training.engine.losses import LOSS_OPTIONS
from training.engine.messages import AdamParams, Datum, ForwardResult, LoraChoice

MICRO_BATCH_TOKENS = 1024
MICRO_BATCH_LOGITS = 32 * 1024 * 1024
"""On two cores 16k tokens took 1.8 s in pieces of 1-2k and 12 s in one; see docs/engine.md."""


class TrainModel:
    """An adapter with gradients and AdamW's moments.

    Attributes:
        lora: the factors.
        rank: the largest rank of the adapted layers.
        alpha: the alpha that goes with it.
    """

    def __init__(self, base: BaseModel, shapes: Mapping[str, Shape], rank: int, alpha: float):
        self.base = base
        self.rank = rank
        self.alpha = alpha
        self.lora = LoraSet(shapes, base.device, trainable=True)
        self._flat = torch.nn.Parameter(self.lora.flat)
        self._flat.grad = self.lora.grad
        self.optimizer = self._new_optimizer()
        self._kept: Kept | None = None

    def _new_optimizer(self) -> torch.optim.AdamW:
        return torch.optim.AdamW([self._flat], foreach=False)

    @classmethod
    def create(cls, base: BaseModel, choice: LoraChoice) -> "TrainModel":
        """A fresh adapter: A random, B zero.

        Raises:
            BadRequest: the choice leaves nothing to train.
        """
        scale = choice.alpha / choice.rank
        shapes = {
            path: Shape(
                choice.rank, base.layers[path].in_features, base.layers[path].out_features, scale
            )
            for path in chosen_layers(base.layers, choice)
        }
        model = cls(base, shapes, choice.rank, choice.alpha)
        model.lora.initialise(choice.seed)
        return model

    @property
    def nbytes(self) -> int:
        """Bytes held, moments included."""
        return 2 * self.lora.flat.nbytes + self.lora.nbytes

    def forward_backward(
        self,
        data: Sequence[Datum],
        loss: str,
        options: Mapping[str, float],
        *,
        backward: bool,
    ) -> Iterator[ForwardResult | None]:
        """Run the data in micro-batches; yields None between them and the result at the end.

        Args:
            data: sequences that have passed the protocol's checks.
            loss: a name of ``LOSSES``.
            options: overrides of ``LOSS_OPTIONS``.
            backward: whether gradients are added.
        """
        options = {**LOSS_OPTIONS[loss], **options}
        before, self._kept = self._kept, None
        keeping = None if backward or not self._may_keep(data) else Kept(data)
        logprobs: list[np.ndarray | None] = [None] * len(data)
        total = 0.0
        for indices in self._micro_batches(data):
            part = [data[i] for i in indices]
            graph = backward or keeping is not None
            with switched_on(self.base.layers, self.lora), torch.set_grad_enabled(graph):
                lp = before.take(data, indices) if backward and before is not None else None
                lp, inputs = self._logprobs(part) if lp is None else (lp, self._inputs(part)[1])
                value = LOSSES[loss](lp, inputs, options)
                if backward and value.requires_grad:
                    value.backward()
            if keeping is not None:
                keeping.put(indices, lp)
            total += float(value.detach())
            values = lp.detach().cpu().numpy()
            for row, i in enumerate(indices):
                logprobs[i] = values[row, : len(data[i].tokens)].copy()
            yield None
        self._kept = keeping
        yield ForwardResult([lp for lp in logprobs if lp is not None], {"loss:sum": total})

    def _may_keep(self, data: Sequence[Datum]) -> bool:
        """Whether a forward pass is worth its graph: the model is being trained, and it fits."""
        if not self.optimizer.state:
            return False
        widths = {path: layer.out_features for path, layer in self.base.layers.items()}
        return fits(data, widths, self.base.facts.vocab_size)

    def forget_graphs(self) -> None:
        """Drop what a forward pass left: the factors change, or memory is wanted."""
        self._kept = None

    def _micro_batches(self, data: Sequence[Datum]) -> Iterator[list[int]]:
        limit = min(MICRO_BATCH_TOKENS, MICRO_BATCH_LOGITS // self.base.facts.vocab_size)
        order = sorted(range(len(data)), key=lambda i: len(data[i].tokens))
        batch: list[int] = []
        for i in order:
            width = len(data[i].tokens)  # the widest so far, because the order is rising
            k = data[i].inputs["target_tokens"].shape[1:]
            same = not batch or data[batch[0]].inputs["target_tokens"].shape[1:] == k
            if batch and (not same or width * (len(batch) + 1) > limit):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _logprobs(self, part: Sequence[Datum]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Log-probabilities of the targets, (rows, width) or (rows, width, k), and the inputs."""
        ids, inputs = self._inputs(part)
        targets = inputs["target_tokens"]
        # Padding is on the right, so a causal model never looks at it: no mask, the fast kernels.
        logits = self.base.logits(ids, use_cache=False)
        picked = logits.gather(-1, targets if targets.ndim == 3 else targets[..., None])
        lp = picked - torch.logsumexp(logits, dim=-1, keepdim=True)
        return (lp if targets.ndim == 3 else lp[..., 0]), inputs

    def _inputs(self, part: Sequence[Datum]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Token ids (rows, width) and what the loss reads, padded on the right."""
        width = max(len(d.tokens) for d in part)
        device = self.base.device

        def padded(arrays: list[np.ndarray]) -> torch.Tensor:
            out = np.zeros((len(arrays), width, *arrays[0].shape[1:]), arrays[0].dtype)
            for row, array in enumerate(arrays):
                out[row, : len(array)] = array
            return torch.from_numpy(out).to(device)

        inputs = {name: padded([d.inputs[name] for d in part]) for name in part[0].inputs}
        inputs["real"] = padded(
            [np.ones(d.inputs["target_tokens"].shape, np.float32) for d in part]
        )
        return padded([d.tokens for d in part]), inputs

    def optim_step(self, params: AdamParams) -> dict[str, float]:
        """One AdamW step on the gradients gathered so far, which are then zero.

        A layer that got no gradient steps with zero, as PyTorch does for a zero gradient.

        Raises:
            BadRequest: a gradient is not finite; the step is not taken, the gradients are dropped.
        """
        self.forget_graphs()
        grad = self.lora.grad
        norm = float(torch.linalg.vector_norm(grad))
        if not np.isfinite(norm):
            grad.zero_()
            raise BadRequest(
                "the gradient is not finite (inf or NaN); the step was not taken and the gradient "
                "was dropped; lower the learning rate or look at the weights that were sent"
            )
        if params.grad_clip_norm > 0 and norm > params.grad_clip_norm:
            # As torch.nn.utils.clip_grad_norm_ does, its 1e-6 included.
            grad.mul_(min(1.0, params.grad_clip_norm / (norm + 1e-6)))
        self.optimizer.param_groups[0].update(
            lr=params.learning_rate,
            betas=(params.beta1, params.beta2),
            eps=params.eps,
            weight_decay=params.weight_decay,
        )
        self.optimizer.step()
        grad.zero_()
        return {"grad_norm:mean": norm}

    def optimizer_tensors(self) -> dict[str, torch.Tensor]:
        """AdamW's moments and step count; empty before the first step."""
        state = self.optimizer.state.get(self._flat)
        if not state:
            return {}
        return {
            "exp_avg": state["exp_avg"].cpu().clone(),
            "exp_avg_sq": state["exp_avg_sq"].cpu().clone(),
            "step": state["step"].cpu().clone().reshape(1),
        }

    def load_optimizer(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take what :meth:`optimizer_tensors` gave (empty: as before the first step)."""
        self.forget_graphs()
        self.optimizer = self._new_optimizer()
        if tensors:
            self.optimizer.state[self._flat] = {
                "step": tensors["step"].reshape(()).clone(),
                "exp_avg": tensors["exp_avg"].to(self.base.device).clone(),
                "exp_avg_sq": tensors["exp_avg_sq"].to(self.base.device).clone(),
            }

    def load_factors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take an adapter's factors and drop gathered gradients."""
        self.forget_graphs()
        self.lora.load(tensors)
        self.lora.grad.zero_()
