"""The base model: its recipe is checked, its shipped folder is whole, a tiny one trains."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.base_model import CONFIG, OUT, BaseModelConfig, build_model, train_base_model
from training.base_steps import batch_loss, batches, stream_of
from training.base_tokenizer import as_pretrained, encode_turns, train_tokenizer
from training.corpus import load_bank

MESSAGES = [
    {"role": "system", "content": "Be formal."},
    {"role": "user", "content": "Velora 3 won't start 😊"},
    {"role": "assistant", "content": "Hold the button."},
    {"role": "user", "content": "ok"},
]


def recipe(tmp_path: Path, text: str) -> tuple[BaseModelConfig, ...]:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return BaseModelConfig.load(path)


def test_shipped_recipe_is_read():
    assert BaseModelConfig.load(CONFIG)[0].width == 192


def test_later_stages_change_only_what_they_name(tmp_path):
    first, second = recipe(tmp_path, "tokens: 10\nthen:\n- {name_weight: 3, seed: 2}\n")
    assert second == replace(first, name_weight=3, seed=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("depth: 3", "unknown field 'depth'"),
        ("tokens: many", "tokens is 'many'; use a number"),
        ("layers: 2.5", "layers is 2.5; use a number"),
        ("then:\n- {depth: 3}", "unknown field 'depth'"),
        ("lesson: poems", "lesson is 'poems'; use words or questions or conversations"),
        ("hidden_optimizer: sgd", "hidden_optimizer is 'sgd'; use adamw or muon"),
    ],
)
def test_recipe_with_a_wrong_field_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        recipe(tmp_path, text)


def test_training_encoding_equals_the_chat_template():
    raw = train_tokenizer(["Velora 3 won't start", "Hold the button."] * 5, 300)
    tokenizer = as_pretrained(raw, 128)
    ids, weights, marks = encode_turns(raw, [(m["role"], m["content"]) for m in MESSAGES])
    templated = tokenizer.apply_chat_template(MESSAGES)["input_ids"]
    assert ids == templated
    assert [tokenizer.convert_ids_to_tokens(ids[at]) for at in marks] == ["<|assistant|>"]
    learned = tokenizer.decode([i for i, w in zip(ids, weights, strict=True) if w])
    assert learned.lstrip() == "Hold the button.<|end|>"


def test_a_name_is_spelled_alike_at_the_beginning_and_within():
    raw = train_tokenizer(["pofezcro X55s has locked my account", "ask pofezcro 12"] * 5, 300)
    first, within = (raw.encode(text).tokens for text in ("pofezcro X55s", "my pofezcro X55s"))
    assert within[-len(first) :] == first
    assert first[-3:] == ["5", "5", "s"]


def test_shipped_model_is_small_and_whole():
    from safetensors import safe_open
    from transformers import AutoTokenizer

    size = sum(path.stat().st_size for path in OUT.iterdir())
    assert size <= 12_000_000
    config = json.loads((OUT / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "llama" and config["tie_word_embeddings"]
    with safe_open(OUT / "model.safetensors", "pt") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    assert kinds == {"BF16"}
    tokenizer = AutoTokenizer.from_pretrained(OUT)
    assert tokenizer.eos_token == "<|end|>" and tokenizer.pad_token == "<|pad|>"
    text = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert text.startswith("<|user|>Velora 3") and text.endswith("<|user|>ok<|end|><|assistant|>")


TINY = replace(
    BaseModelConfig(),
    vocabulary=400, width=32, layers=2, reading_layer=1, heads=2, feed_forward=64, tokens=6_000,
    tokens_per_batch=1024, tokenizer_conversations=50,
)  # fmt: skip


def test_first_turns_are_closed_by_the_mark_where_the_intent_is_named():
    bank = load_bank()
    names = {intent.name: number for number, intent in enumerate(bank.intents)}
    tokenizer = train_tokenizer(["Velora 3 won't start", "Hold the button."] * 5, 300)
    recipe = replace(TINY, lesson="questions")
    batch = next(batches(stream_of(bank, recipe), tokenizer, recipe, names, pool=8))
    rows, places = batch["marks"].T
    mark = tokenizer.token_to_id("<|assistant|>")
    assert (batch["input_ids"][rows, places] == mark).all()
    assert len(rows) == len(batch["input_ids"]) == len(batch["intents"])
    assert not batch["weights"].any()


def test_words_lesson_teaches_embeddings_and_leaves_the_layers_alone():
    bank = load_bank()
    names = {intent.name: number for number, intent in enumerate(bank.intents)}
    tokenizer = train_tokenizer(["Velora 3 won't start", "Hold the button."] * 5, 300)
    recipe = replace(TINY, lesson="words")
    model, head = build_model(recipe, tokenizer), torch.nn.Linear(32, len(names))
    batch = next(batches(stream_of(bank, recipe), tokenizer, recipe, names, pool=64))
    batch_loss(model, head, batch, recipe)[0].backward()
    taught = {name for name, p in model.named_parameters() if p.grad is not None}
    assert taught == {"model.embed_tokens.weight"}


@pytest.mark.slow
def test_tiny_model_trains_the_same_twice(tmp_path: Path):
    stages = [replace(TINY, lesson=lesson) for lesson in ("words", "questions", "conversations")]
    bank = load_bank()
    first = train_base_model(stages, tmp_path / "a", bank=bank)
    train_base_model(stages, tmp_path / "b", bank=bank)
    assert first["tokens_in_all_stages"] >= 18_000
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert not list(tmp_path.glob(".*"))
