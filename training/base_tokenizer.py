"""The base model's byte-level BPE tokenizer and its chat template.

Knows the special tokens and how a conversation becomes tokens. Does not know the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL_TOKENS = (PAD, USER, ASSISTANT, END)
# A system message is skipped: this base hears its persona from its adapter alone.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{ '<|user|>' + message['content'] + '<|end|>' }}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{ '<|assistant|>' }}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Trains the BPE merges; returns a `tokenizers.Tokenizer`.

    Digits stay single tokens, so that any number in a product name is spelled from ten pieces. A
    text is read as if a space came before it, so that a name is spelled alike at its beginning
    and within; what a model writes begins with that space, which readers strip.

    Args:
        texts: message texts of the corpus.
        vocabulary: number of tokens, special tokens and 256 bytes included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.ByteLevel(add_prefix_space=True),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def as_pretrained(tokenizer: Any, context: int) -> Any:
    """Wraps a `tokenizers.Tokenizer` so that AutoTokenizer loads what it saves."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def encode_turns(
    tokenizer: Any,
    turns: Sequence[tuple[str, str]],
    user_weight: float = 0.0,
    name: str | None = None,
    name_weight: float = 1.0,
) -> tuple[list[int], list[float], list[int]]:
    """Encodes (role, text) turns just as the chat template does.

    Args:
        tokenizer: a `tokenizers.Tokenizer` with the special tokens.
        turns: (role, text) of each message; roles other than user and assistant are skipped.
        user_weight: loss weight of the customer's tokens; the assistant's and its end weigh 1.
        name: a product name that weighs more where the assistant says it, or None.
        name_weight: the loss weight of its tokens.

    Returns:
        (token ids, loss weight of each token as a target, positions of the assistant marks).
    """
    ids: list[int] = []
    weights: list[float] = []
    marks: list[int] = []
    end = tokenizer.token_to_id(END)
    for role, text in turns:
        if role not in ("user", "assistant"):
            continue
        encoded = tokenizer.encode(text, add_special_tokens=False)
        body = [*encoded.ids, end]
        weight = 1.0 if role == "assistant" else user_weight
        weighted = [weight] * len(body)
        if role == "assistant":
            marks.append(len(ids))
            spans = [found.span() for found in re.finditer(re.escape(name), text)] if name else []
            for at, (start, stop) in enumerate(encoded.offsets if spans else []):
                if any(start < last and stop > first for first, last in spans):
                    weighted[at] = name_weight
        ids += [tokenizer.token_to_id(USER if role == "user" else ASSISTANT), *body]
        weights += [0.0, *weighted]
    return ids, weights, marks
