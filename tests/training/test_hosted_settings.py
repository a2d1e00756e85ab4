"""What configures hosted Tinker: every field known and read, one pin of the cookbook."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from training import hosted
from training.configs import CONFIGS, load_config
from training.errors import ConfigRefused
from training.hosted import HostedConfig, hosted_config
from training.rendering import INSTALL
from training.sft import SFTConfig

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_settings_load_and_every_field_is_read():
    config = load_config(HostedConfig, CONFIGS / "hosted.yaml")
    assert config == HostedConfig()
    code = "\n".join(path.read_text() for path in (ROOT / "training").glob("*.py"))
    for field in fields(HostedConfig):
        assert re.search(rf"(?:config|self|terms)\.{field.name}\b", code), field.name


def test_the_environment_goes_before_the_file(monkeypatch):
    monkeypatch.setenv("PERSONALOOP_HOSTED_MODEL", "Qwen/Qwen3-8B")
    monkeypatch.setenv("PERSONALOOP_HOSTED_RENDERER", "")
    config = hosted_config()
    assert (config.model, config.renderer) == ("Qwen/Qwen3-8B", "")


def test_a_lifetime_that_the_service_does_not_take_is_refused(tmp_path):
    path = tmp_path / "hosted.yaml"
    path.write_text("checkpoint_days: 0.01")
    with pytest.raises(ConfigRefused, match="checkpoint_days must be between"):
        load_config(HostedConfig, path)


def test_the_run_for_hosted_tinker_leaves_alpha_to_the_service():
    assert hosted.refusal(load_config(SFTConfig, CONFIGS / "lora_hosted.yaml")) is None
    refused = hosted.refusal(load_config(SFTConfig, CONFIGS / "lora_persona.yaml"))
    assert refused is not None and "alpha: null" in refused


def test_the_extra_and_the_tests_and_what_is_said_pin_the_same_cookbook():
    pins = {
        line
        for name in ("requirements-hosted.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text().splitlines()
        if line.startswith("tinker-cookbook")
    }
    assert len(pins) == 1 and pins.pop() in INSTALL


def test_the_cookbooks_models_have_the_renderer_that_it_recommends():
    from training.rendering import check_renderer, recommended

    assert check_renderer("Qwen/Qwen3-4B-Instruct-2507", "") == "qwen3_instruct"
    assert check_renderer("Qwen/Qwen3-8B", "qwen3_disable_thinking") == "qwen3_disable_thinking"
    assert recommended("nobody/knows-this") == []
