"""The adapters that ship: they belong to the shipped base and were trained unsharpened."""

import pytest
import torch
from safetensors.torch import load, load_file, save

from db.settings import base_model_dir
from training.adapters import base_model_sha256, verify_adapter
from training.corpus.intents import PERSONA_VOICES
from training.engine.hashes import check_base_hash, in_order
from training.shipped_adapters import ADAPTERS, blunted


@pytest.mark.parametrize("persona", PERSONA_VOICES)
def test_shipped_adapter_is_whole_and_belongs_to_the_shipped_base(persona):
    folder = ADAPTERS / persona / f"{persona}-sft-v1"
    sha256 = base_model_sha256(base_model_dir())
    card = verify_adapter(folder, sha256)
    check_base_hash(folder, sha256)
    assert (card.persona, card.kind) == (persona, "sft")
    assert card.base_model == "data/models/personaloop-base"


def test_blunted_base_differs_in_the_size_of_its_logits_alone(tmp_path):
    base = base_model_dir()
    out = blunted(base, tmp_path / "base", 2.0)
    before, after = (load_file(folder / "model.safetensors") for folder in (base, out))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"model.norm.weight"}
    torch.testing.assert_close(2 * after["model.norm.weight"], before["model.norm.weight"])
    assert (out / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


def test_equal_weights_are_equal_files_whatever_the_order_of_the_metadata():
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    facts = {"format": "pt", "base_model_sha256": "0" * 64, "x": "é"}
    files = {
        in_order(save(tensors, metadata=dict(order)))
        for order in (list(facts.items()), list(facts.items())[::-1])
        for _ in range(8)
    }
    assert len(files) == 1
    again = load(files.pop())
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
