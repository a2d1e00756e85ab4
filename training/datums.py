"""Conversations and completions as token sequences that the service trains on.

Knows tokens, the shift by one, and what is too long. Does not know losses. Nothing is ever cut: a
sequence that does not fit is refused and counted.
"""

import functools
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import TooLittleData
from training.pairs import PreferencePair
from training.personas import Persona, checked_messages, plain_turns
from training.service import Service

if TYPE_CHECKING:
    import tinker


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and one completion of it, as token ids; the completion's end token included."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    def __len__(self) -> int:
        """Tokens in all."""
        return len(self.prompt) + len(self.completion)

    @functools.cached_property
    def sha256(self) -> str:
        """Of the token ids, and of where the completion begins."""
        ids = np.asarray([len(self.prompt), *self.prompt, *self.completion], dtype="<i8")
        return hashlib.sha256(ids.tobytes()).hexdigest()

    def datum(
        self, weight: float = 1.0, riding: Mapping[str, float] | None = None
    ) -> "tinker.Datum":
        """The training datum: inputs all but the last token, targets all but the first.

        Args:
            weight: of each of the completion's tokens; the prompt's weigh 0.
            riding: more numbers by name. A custom loss finds them in the Datum; the SDK sends the
                service only what its own loss reads.
        """
        import tinker

        tokens = [*self.prompt, *self.completion]
        weights = np.zeros(len(tokens) - 1, dtype=np.float32)
        weights[len(self.prompt) - 1 :] = weight
        return tinker.Datum(
            model_input=tinker.ModelInput.from_ints(tokens[:-1]),
            loss_fn_inputs={
                "target_tokens": tinker.TensorData(
                    data=np.asarray(tokens[1:], dtype=np.int64), dtype="int64"
                ),
                "weights": tinker.TensorData(data=weights, dtype="float32"),
                **{
                    name: tinker.TensorData(data=[number], dtype="float32")
                    for name, number in (riding or {}).items()
                },
            },
        )


@dataclass(frozen=True)
class EncodedPair:
    """A preference pair as tokens; of a tie neither side is better."""

    chosen: TokenSequence
    rejected: TokenSequence
    label: float
    weight: float
    judgments: tuple[int, ...]
    key: str
    tie: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of both sequences."""
        return len(self.chosen) + len(self.rejected)


class Encoder:
    """Encodes for one persona on one service; counts what it refuses."""

    def __init__(self, service: Service, persona: Persona):
        """Load the tokenizer."""
        self.service = service
        self.persona = persona
        self.tokenizer = service.tokenizer
        self.rendering = service.rendering
        self.refused: Counter[str] = Counter()

    @property
    def eos(self) -> int:
        """The token id that ends a completion."""
        return self.service.eos()

    def turns(self, messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """The conversation as the model reads it, the persona's guide first."""
        return plain_turns(self.tokenizer, self.persona, messages)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The prompt's tokens, ready for a completion."""
        return self.rendering.prompt(self.turns(messages))

    def completion(
        self,
        text: str,
        sampled: tuple[int, ...] | None = None,
        turns: Sequence[Mapping[str, str]] = (),
    ) -> tuple[int, ...]:
        """A completion's tokens with the end token.

        Args:
            text: the completion.
            sampled: the tokens with which it was generated; taken where they still read as the
                text, so that the model is trained on what it said and not on another spelling.
            turns: the conversation before it, as `turns` gives it; where how an answer is written
                depends on what was said before.
        """
        if sampled is not None and self.read(sampled) == text.strip():
            return sampled
        return self.rendering.completion(turns, text)

    def read(self, tokens: Iterable[int]) -> str:
        """The text of sampled tokens, without end tokens and surrounding space."""
        return self.rendering.read(list(tokens))

    def sequence(
        self,
        messages: Sequence[Mapping[str, str]],
        text: str,
        sampled: tuple[int, ...] | None = None,
    ) -> TokenSequence | None:
        """A sequence, or None (counted) where it does not fit into the model's context."""
        turns = self.turns(messages)
        made = TokenSequence(self.rendering.prompt(turns), self.completion(text, sampled, turns))
        if len(made) > self.service.context:
            self.refused["too long"] += 1
            return None
        if len(made.completion) < 2:
            self.refused["empty"] += 1
            return None
        return made

    def pairs(self, pairs: Iterable[PreferencePair]) -> list[EncodedPair]:
        """Pairs as tokens; those with a side that does not fit are left out and counted."""
        encoded = []
        for pair in pairs:
            chosen = self.sequence(pair.messages, pair.chosen, pair.chosen_tokens)
            rejected = self.sequence(pair.messages, pair.rejected, pair.rejected_tokens)
            if chosen is not None and rejected is not None:
                encoded.append(
                    EncodedPair(
                        chosen,
                        rejected,
                        pair.label,
                        pair.weight,
                        pair.judgments,
                        pair.key,
                        pair.tie,
                    )
                )
        return encoded


def persona_rows(path: Path, persona: str) -> list[dict[str, Any]]:
    """The rows of a supervised file that a persona speaks, each with ``messages`` and ``response``.

    Raises:
        TooLittleData: no such file, a row that cannot be read (file and line), or no row.
    """
    if not path.is_file():
        raise TooLittleData(f"{path}: no such file of supervised rows")
    rows = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                    if row["persona"] == persona:
                        rows.append(_spoken(row))
                except (ValueError, KeyError, TypeError) as error:
                    raise TooLittleData(
                        f"{path}:{number}: needs persona, response and prompt or messages, in "
                        f"UTF-8 JSON ({_said(error)})"
                    ) from error
    if not rows:
        raise TooLittleData(f"{path}: no row of persona {persona}")
    return rows


def _spoken(row: dict[str, Any]) -> dict[str, Any]:
    messages = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
    response = row["response"]
    if not isinstance(response, str) or not response.strip():
        raise ValueError("response must be a text")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise ValueError("messages must be a list of objects with role and content")
    return {"messages": checked_messages(messages), "response": response}


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def spread(sequences: Sequence[TokenSequence], weight: float) -> "list[tinker.Datum]":
    """Datums whose summed cross-entropy is ``weight`` times the mean loss a completion token."""
    total = sum(len(sequence.completion) for sequence in sequences)
    return [sequence.datum(weight / total) for sequence in sequences]


def sides_of(pairs: Sequence[EncodedPair]) -> list[TokenSequence]:
    """Both sequences of every pair in turns, chosen and rejected."""
    return [side for pair in pairs for side in (pair.chosen, pair.rejected)]


def completion_logprobs(
    service: Service, client: "tinker.TrainingClient", sequences: Sequence[TokenSequence]
) -> list[float]:
    """Summed log-probability (nats) of each completion under the client's present weights.

    Raises:
        TooLittleData: a sum is not finite; the weights are broken.
    """
    if not sequences:
        return []
    data = [sequence.datum() for sequence in sequences]
    return summed(sequences, service.wait(client.forward(data, "cross_entropy")))


def summed(
    sequences: Sequence[TokenSequence], output: "tinker.ForwardBackwardOutput"
) -> list[float]:
    """What a forward pass says of each completion: its summed log-probability in nats.

    Raises:
        TooLittleData: a sum is not finite; the weights are broken.
    """
    sums = []
    for sequence, record in zip(sequences, output.loss_fn_outputs, strict=True):
        logprobs = record["logprobs"].to_numpy().reshape(-1).astype(np.float64)
        total = float(logprobs[len(sequence.prompt) - 1 :].sum())
        if not math.isfinite(total):
            raise TooLittleData("a log-probability is not finite: the adapter's weights are broken")
        sums.append(total)
    return sums
