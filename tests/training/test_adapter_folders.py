"""Adapter folders: whole or absent, checked, never replaced."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from training import adapters
from training.adapters import (
    AdapterCard,
    checkpoint_path,
    find_adapter,
    list_adapters,
    read_card,
    verify_adapter,
    write_adapter,
)
from training.errors import AdapterDamaged, AdapterMissing

CARD = AdapterCard(
    id="playful_sidekick-dpo-1",
    persona="playful_sidekick",
    base_model="data/models/personaloop-base",
    base_model_sha256="b" * 64,
    kind="dpo",
    parents=({"id": "playful_sidekick-sft-v1", "sha256": "c" * 64},),
    run="7",
    snapshot="d" * 64,
    config={"beta": 0.1},
    metrics={"loss": 0.5},
)


def write(root: Path, weights: bytes = b"weights", card: AdapterCard = CARD) -> Path:
    folder = root / "playful_sidekick" / card.id
    write_adapter(folder, weights, {"r": 8, "peft_type": "LORA"}, card)
    return folder


def test_a_written_adapter_reads_back_and_verifies(tmp_path):
    folder = write(tmp_path)
    card = verify_adapter(folder, base_sha256="b" * 64)
    assert replace(card, created="", files={}) == CARD
    assert set(card.files) == {"adapter_model.safetensors", "adapter_config.json"}
    assert card.created.endswith("+00:00")
    raw = json.loads((folder / "adapter.json").read_text())
    wanted = "id persona base_model base_model_sha256 parents run snapshot config metrics created"
    assert set(wanted.split()) <= set(raw)
    assert oct((folder / "adapter_model.safetensors").stat().st_mode)[-3:] == "644"


def test_writing_the_same_again_changes_nothing(tmp_path):
    folder = write(tmp_path)
    before = (folder / "adapter.json").read_bytes()
    write(tmp_path)
    assert (folder / "adapter.json").read_bytes() == before


def test_other_weights_never_replace_an_adapter(tmp_path):
    folder = write(tmp_path)
    with pytest.raises(AdapterDamaged, match="never replaced"):
        write(tmp_path, b"other")
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("moment", ["_sync", "_write_json"])
def test_a_write_that_dies_leaves_no_adapter(tmp_path, monkeypatch, moment):
    def die(*_):
        raise OSError("disk full")

    monkeypatch.setattr(adapters, moment, die)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path)
    assert list_adapters([tmp_path]) == []
    assert list((tmp_path / "playful_sidekick").iterdir()) == []


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_altered_and_missing_files_are_found(tmp_path, name):
    folder = write(tmp_path)
    with (folder / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(AdapterDamaged, match=f"{name}: was altered"):
        verify_adapter(folder)
    (folder / name).unlink()
    with pytest.raises(AdapterDamaged, match=f"{name}: missing"):
        verify_adapter(folder)


def test_another_base_model_is_found(tmp_path):
    with pytest.raises(AdapterDamaged, match="another base model"):
        verify_adapter(write(tmp_path), base_sha256="e" * 64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"id": "x"}', "field 'files' is missing"),
        ('{"id": 4, "files": {}}', "field 'id' must be a str"),
        ('{"id": "x", "files": {}}', "but the folder is"),
    ],
)
def test_a_malformed_card_names_file_and_field(tmp_path, content, message):
    folder = write(tmp_path)
    (folder / "adapter.json").write_text(content)
    with pytest.raises(AdapterDamaged, match=message) as caught:
        read_card(folder)
    assert "adapter.json" in str(caught.value)


@pytest.mark.parametrize("bad", ["", "..", "a/b", "a:b", "a b", ".hidden", "x" * 121, "a..b", "é"])
def test_unsafe_ids_never_become_paths(tmp_path, bad):
    with pytest.raises(AdapterMissing, match="no adapter id"):
        checkpoint_path("playful_sidekick", bad)
    with pytest.raises(AdapterMissing):
        find_adapter("playful_sidekick", bad, [tmp_path])


def test_checkpoint_paths_have_three_segments():
    path = checkpoint_path("luxury_curator", "luxury_curator-sft-v1")
    assert path == "tinker://adapter-luxury_curator/weights/luxury_curator-sft-v1"


def test_trained_adapters_come_before_shipped_ones_and_are_listed_once(tmp_path):
    trained = write(tmp_path / "lora")
    write(tmp_path / "shipped")
    other = replace(CARD, id="another")
    write(tmp_path / "shipped", card=other)
    roots = [tmp_path / "lora", tmp_path / "shipped"]
    assert find_adapter("playful_sidekick", CARD.id, roots) == trained
    assert sorted(card.id for _, card in list_adapters(roots)) == ["another", CARD.id]
    with pytest.raises(AdapterMissing, match="no adapter nothing of playful_sidekick"):
        find_adapter("playful_sidekick", "nothing", roots)
