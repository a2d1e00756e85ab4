"""The sides of the training rows, each in a process of its own. See bench/training.py."""

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.engine import Work
from bench.engine_data import preference_rows
from bench.engine_training import cpu_seconds, peak_bytes
from bench.training import BATCH, BETA, EPOCHS, RANK, RATE, epoch_means, lines


def encoded(pairs: int) -> list[Any]:
    """The pairs, as tokens."""
    from training.datums import EncodedPair

    return [
        EncodedPair(chosen, rejected, 1.0, 1.0, (number,), str(number))
        for number, (chosen, rejected) in enumerate(preference_rows(pairs))
    ]


class Counted:
    """Counts the tokens of every request that the SDK sends."""

    def __init__(self) -> None:
        """Wrap the SDK's three ways to have tokens processed."""
        import tinker

        self.tokens = 0
        run, probe = tinker.TrainingClient._run_fwd_bwd, tinker.SamplingClient.compute_logprobs

        def trained(client: Any, requests: Any, *args: Any, **named: Any) -> Any:
            self.tokens += sum(d.model_input.length for chunk in requests for d in chunk.data)
            return run(client, requests, *args, **named)

        def probed(client: Any, prompt: Any, *args: Any, **named: Any) -> Any:
            self.tokens += prompt.length
            return probe(client, prompt, *args, **named)

        tinker.TrainingClient._run_fwd_bwd = trained  # type: ignore[method-assign]
        tinker.SamplingClient.compute_logprobs = probed  # type: ignore[method-assign]

    def taken(self, pairs: int) -> float:
        """Tokens since the last time, a pair and epoch."""
        tokens, self.tokens = self.tokens, 0
        return tokens / (pairs * EPOCHS)


def start(client: Any, base: str) -> str:
    """A fresh LoRA, saved: where each run begins."""
    made = client.create_lora_training_client(base, rank=RANK, seed=3).result()
    return made.save_state("start").result().path


@contextmanager
def _folders() -> Iterator[Iterator[Path]]:
    """Fresh folders, one a run."""
    root = Path(tempfile.mkdtemp())
    try:
        yield (root / f"run-{number}" for number in itertools.count())
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def ours(url: str, key: str, engine: int, pairs: int) -> Iterator[Work]:
    """`training.dpo.train_dpo`: reference once, steps queued, the last state saved."""
    import os

    import tinker

    from db.settings import base_model_dir
    from training.adapters import base_model_sha256
    from training.dpo import DPOData, Reference, train_dpo
    from training.dpo_config import DPOConfig
    from training.engine.connection import prepare_client
    from training.engine.settings import base_model_name
    from training.runs import RunFolder
    from training.service import Service

    prepare_client()
    folder = base_model_dir()
    service = Service(
        tinker.ServiceClient(base_url=url, api_key=key),
        tinker.RestClient(base_url=url, api_key=key),
        base_model_name(folder),
        folder,
        base_model_sha256(folder),
        False,
        1024,
    )
    data = DPOData(tuple(encoded(pairs)), (), ())
    reference = Reference("start", "", start(service.client, service.base_model))
    config = DPOConfig(
        beta=BETA,
        learning_rate=RATE,
        epochs=EPOCHS,
        batch=BATCH,
        minimum_pairs=BATCH,
        minimum_steps=EPOCHS,
        warmup=0.0,
        schedule="linear",
        clip=1.0,
        nll_weight=0.0,
        save_every=10_000,
    )
    counted = Counted()
    with _folders() as folders:

        def work() -> dict[str, Any]:
            run, spent = RunFolder(next(folders)), cpu_seconds(engine) + time.process_time()
            train_dpo(service, data, config, reference, run)
            losses = [record["loss"] for record in run.metrics() if "loss" in record]
            client, far = peak_bytes(os.getpid()), peak_bytes(engine)
            return {
                "losses": epoch_means(losses),
                "steps": len(losses),
                "tokens": counted.taken(pairs),
                "cpu": cpu_seconds(engine) + time.process_time() - spent,
                "bytes": client + far,
                "client_bytes": client,
                "engine_bytes": far,
            }

        yield work


@contextmanager
def cookbook(url: str, key: str, engine: int, pairs: int) -> Iterator[Work]:
    """tinker-cookbook's `train_dpo.main`, unmodified; the pairs come as ready datums."""
    import logging
    import os

    os.environ["TINKER_API_KEY"], os.environ["TINKER_BASE_URL"] = key, url
    import chz
    import tinker
    from tinker_cookbook.preference import train_dpo
    from tinker_cookbook.supervised.types import (
        ChatDatasetBuilder,
        ChatDatasetBuilderCommonConfig,
        SupervisedDataset,
    )

    from db.settings import base_model_dir
    from training.engine.connection import prepare_client
    from training.engine.settings import base_model_name

    prepare_client()
    base = base_model_name(base_model_dir())
    ready = encoded(pairs)

    class Ready(SupervisedDataset):
        """Batches of ready datums, in a fixed order."""

        def __len__(self) -> int:
            return len(ready) // BATCH

        def get_batch(self, index: int) -> list[tinker.Datum]:
            batch = ready[index * BATCH : (index + 1) * BATCH]
            return [side.datum() for pair in batch for side in (pair.chosen, pair.rejected)]

        def set_epoch(self, seed: int = 0) -> None:
            """Keep the order."""

    @chz.chz
    class Builder(ChatDatasetBuilder):
        """Gives them."""

        def __call__(self) -> tuple[SupervisedDataset, None]:
            return Ready(), None

    common = ChatDatasetBuilderCommonConfig(
        model_name_for_tokenizer=base, renderer_name="role_colon", max_length=None, batch_size=BATCH
    )
    path = start(tinker.ServiceClient(base_url=url, api_key=key), base)
    counted = Counted()
    with _folders() as folders:

        def work() -> dict[str, Any]:
            log, spent = next(folders), cpu_seconds(engine) + time.process_time()
            # Examples are printed in colour at every first step; that is no work of training.
            train_dpo.print_example = lambda *_: None
            train_dpo.main(
                train_dpo.Config(
                    log_path=str(log),
                    model_name=base,
                    recipe_name="bench",
                    renderer_name="role_colon",
                    load_checkpoint_path=path,
                    dataset_builder=Builder(common_config=common),
                    learning_rate=RATE,
                    num_epochs=EPOCHS,
                    lora_rank=RANK,
                    dpo_beta=BETA,
                    adam_eps=1e-12,
                    eval_every=0,
                    infrequent_eval_every=0,
                    save_every=0,
                )
            )
            logging.getLogger().handlers.clear()
            told = [one for one in lines(log / "metrics.jsonl") if "dpo_loss" in one]
            return {
                "losses": epoch_means([one["dpo_loss"] for one in told]),
                "steps": len(told),
                "tokens": counted.taken(pairs),
                "cpu": cpu_seconds(engine) + time.process_time() - spent,
                "bytes": peak_bytes(os.getpid()) + peak_bytes(engine),
            }

        yield work
    asyncio.set_event_loop(None)


@contextmanager
def trl(pairs: int) -> Iterator[Work]:
    """TRL's `DPOTrainer` with peft's LoRA on the same base, pairs and processor."""
    import os

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    from bench.engine_data import base_tokenizer
    from db.settings import base_model_dir

    tokenizer = base_tokenizer()
    rows = [
        {
            "prompt_ids": list(pair.chosen.prompt),
            "chosen_ids": list(pair.chosen.completion),
            "rejected_ids": list(pair.rejected.completion),
        }
        for pair in encoded(pairs)
    ]
    texts = Dataset.from_list(
        [
            {
                name: tokenizer.decode(row[name + "_ids"])
                for name in ("prompt", "chosen", "rejected")
            }
            for row in rows
        ]
    )
    cuda = torch.cuda.is_available()
    with _folders() as folders:

        def trainer() -> Any:
            torch.manual_seed(3)
            base = AutoModelForCausalLM.from_pretrained(
                base_model_dir(), dtype=torch.float32, local_files_only=True
            )
            return DPOTrainer(
                model=base,
                args=DPOConfig(
                    output_dir=str(next(folders)),
                    use_cpu=not cuda,
                    bf16=False,
                    gradient_checkpointing=False,
                    per_device_train_batch_size=BATCH,
                    num_train_epochs=EPOCHS,
                    learning_rate=RATE,
                    lr_scheduler_type="linear",
                    beta=BETA,
                    max_length=1024,
                    max_grad_norm=1.0,
                    adam_beta2=0.95,
                    adam_epsilon=1e-12,
                    logging_steps=1,
                    save_strategy="no",
                    report_to=[],
                    disable_tqdm=True,
                ),
                train_dataset=texts,
                processing_class=tokenizer,
                peft_config=LoraConfig(
                    r=RANK,
                    lora_alpha=2 * RANK,
                    lora_dropout=0.0,
                    target_modules="all-linear",
                    task_type="CAUSAL_LM",
                ),
            )

        def work() -> dict[str, Any]:
            made = trainer()
            names = ("prompt_ids", "chosen_ids", "rejected_ids")
            same = sum(
                all(list(theirs[name]) == row[name] for name in names)
                for theirs, row in zip(made.train_dataset, rows, strict=True)
            )
            spent = time.process_time()
            result = made.train()
            losses = [one["loss"] for one in made.state.log_history if "loss" in one]
            return {
                # Loading and tokenizing come before training and are not counted.
                "seconds": result.metrics["train_runtime"],
                "losses": epoch_means(losses),
                "steps": len(losses),
                "same_tokens": same,
                "cpu": time.process_time() - spent,
                "bytes": peak_bytes(os.getpid()),
            }

        yield work
