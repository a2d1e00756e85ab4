"""One answer of a persona in a conversation, from a real adapter; for page, script and notebook.

Knows the service, the persona and sampling. Does not know the ledger, Streamlit or what a
conversation is for. Nothing is stored.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from training.adapters import find_adapter, read_card
from training.candidates import CandidateConfig, sample_candidates
from training.datums import Encoder
from training.errors import TooLittleData, TrainingError
from training.personas import checked_messages, persona_of
from training.service import Service

GIVE_UP_S = 60.0
"""Seconds after which an answer is not waited for any longer."""


class NoAnswer(TrainingError, TimeoutError):
    """The service did not answer in time."""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        text: the completion.
        adapter_id: who answered.
        seconds: it took.
        seed: with which the same answer comes again.
        left_out: earlier turns that no longer fitted into the model's context.
        complete: whether it ended by itself rather than at the length limit.
    """

    text: str
    adapter_id: str
    seconds: float
    seed: int
    left_out: int
    complete: bool


def reply(
    service: Service,
    persona: str,
    adapter_id: str,
    messages: Sequence[Mapping[str, str]],
    *,
    temperature: float = 0.5,
    max_tokens: int = 160,
    seed: int = 0,
    give_up_s: float = GIVE_UP_S,
) -> Reply:
    """Let a persona answer the last message.

    Args:
        service: connected model service.
        persona: slug.
        adapter_id: of an adapter folder that is on this machine.
        messages: turns with ``role`` and ``content``, the last from the user. The oldest ones are
            left out where the conversation does not fit into the model's context.
        temperature: of sampling; 0 is greedy.
        max_tokens: most tokens of the answer.
        seed: same seed and conversation, same answer; another one for another answer.
        give_up_s: seconds to wait.

    Raises:
        NoAnswer: the service took too long.
        TooLittleData: the last message alone is too long for the model.
        PersonaError: the conversation cannot be answered (empty, or out of turn).
        AdapterMissing: there is no such adapter here.
    """
    began = time.monotonic()
    encoder = Encoder(service, persona_of(persona))
    turns = checked_messages(messages)
    left_out = 0
    while len(turns) > 2 and len(encoder.prompt(turns)) + max_tokens > service.context:
        turns, left_out = turns[2:], left_out + 2
    if len(encoder.prompt(turns)) + 8 > service.context:
        raise TooLittleData("this message is too long for the model: shorten it")
    _, path = service.paths(read_card(find_adapter(persona, adapter_id)))
    config = CandidateConfig(temperature=temperature, max_tokens=max_tokens, seed=seed)
    told = hashlib.sha256(json.dumps(turns, sort_keys=True).encode()).hexdigest()
    before = service.check
    service.check = _until(began + give_up_s, before)
    try:
        (completion,) = next(
            sample_candidates(
                service.sampler(path),
                encoder,
                [(told, turns)],
                adapter_id,
                config,
                purpose="chat",
                samples=1,
            )
        )
    finally:
        service.check = before
    return Reply(
        text=completion.text,
        adapter_id=adapter_id,
        seconds=time.monotonic() - began,
        seed=seed,
        left_out=left_out,
        complete=completion.stop_reason == "stop",
    )


def _until(end: float, check: Callable[[], None]) -> Callable[[], None]:
    def look() -> None:
        check()
        if time.monotonic() > end:
            raise NoAnswer("the model took too long to answer; try again in a moment")

    return look
