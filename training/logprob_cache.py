"""Log-probabilities of completions under weights that never change, kept across runs.

Knows files. Does not know models, pairs or losses. One file for each set of weights in
``outputs/logprobs/``, named by their hash; inside, the summed log-probability (nats, 32-bit) of
each completion by the hash of its tokens. Safe to delete at any time: what is missing is computed
again. A file that is damaged, of other weights or of another format is not believed.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db.settings import outputs_dir
from training.runs import digest, write_atomically

log = logging.getLogger(__name__)
FORMAT = 1


class LogProbCache:
    """The kept values of one set of weights."""

    def __init__(self, weights: str, folder: Path | None = None):
        """Read what is there.

        Args:
            weights: hash that stands for base model and adapter.
            folder: where the files are; None for the outputs.
        """
        self.weights = weights
        self.path = (folder or outputs_dir() / "logprobs") / f"{weights}.json"
        self.known: dict[str, float] = self._read()

    def add(self, values: Mapping[str, float]) -> None:
        """Keep values, beside those that others have written meanwhile; kept ones never change."""
        self.known = {**values, **self._read(), **self.known}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        told = {
            "format": FORMAT,
            "weights": self.weights,
            "sha256": digest(self.known),
            "logprobs": self.known,
        }
        write_atomically(self.path, json.dumps(told, sort_keys=True) + "\n")

    def _read(self) -> dict[str, float]:
        try:
            told: Any = json.loads(self.path.read_text(encoding="utf-8"))
            known = told["logprobs"]
            right = (told["format"], told["weights"]) == (FORMAT, self.weights)
            if right and told["sha256"] == digest(known):
                return {str(key): float(value) for key, value in known.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s cannot be read (%s); it is computed anew", self.path, error)
            return {}
        log.warning("%s is damaged or of other weights; it is computed anew", self.path)
        return {}
