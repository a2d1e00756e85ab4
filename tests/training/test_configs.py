"""Run configurations: every field known, checked, and read somewhere."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from training.candidates import CandidateConfig
from training.configs import CONFIGS, load_config
from training.dpo_config import DPOConfig, planned_batch, planned_steps
from training.errors import ConfigRefused, TooLittleData
from training.evaluation.gate_config import GateConfig
from training.job_config import JobConfig
from training.losses import LOSS_NAMES, required_option
from training.sft import SFTConfig

OPTIONS = {required_option(name) for name in LOSS_NAMES}
SHIPPED = [
    (DPOConfig, "dpo.yaml"),
    (SFTConfig, "lora_persona.yaml"),
    (CandidateConfig, "candidates.yaml"),
    (JobConfig, "job.yaml"),
    (GateConfig, "gate.yaml"),
]


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_shipped_configurations_load(kind, name):
    load_config(kind, CONFIGS / name)


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_every_field_is_read_by_the_code(kind, name):
    root = Path(__file__).resolve().parents[2] / "training"
    code = "\n".join(path.read_text() for path in root.rglob("*.py"))
    for field in fields(kind):
        if field.name in OPTIONS:  # read by the name that the loss asks for
            continue
        reads = re.findall(rf"(?:config|self|settings|recipe)\.{field.name}\b", code)
        assert reads, f"{kind.__name__}.{field.name} is never read"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 1", "unknown field 'lr'"),
        ("beta: much", "beta must be float, got 'much'"),
        ("epochs: 1.5", "epochs must be int"),
        ("epochs: true", "epochs must be int"),
        ("- 1", "field: value"),
        ("beta: [", "not valid YAML"),
        ("beta: 0", "beta must be 1e-06 or more"),
        ("loss: dpo", "loss must be one of sigmoid"),
        ("loss: rao_kupper_tie\nalpha: 1.0", "loss must be one of"),
        ("loss: simpo", "gamma must be given with the loss simpo"),
        ("gamma: 1.0", "gamma has no effect on the loss sigmoid"),
        ("length_average: true", "length_average has no effect"),
        ("heldout_share: 2.0", "heldout_share"),
        ("ties: half", "ties must be one of drop, rao_kupper"),
        ("ties: rao_kupper", "ties: rao_kupper needs loss: rao_kupper_win"),
        ("evaluate_every: -1", "evaluate_every must be 0 or more"),
        ("alarm: -1", "alarm must be 0 or more"),
    ],
)
def test_mistakes_name_file_and_field(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigRefused, match=message):
        load_config(DPOConfig, path)


def test_a_configuration_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"beta: \xff\n")
    with pytest.raises(ConfigRefused, match="not UTF-8 text"):
        load_config(DPOConfig, path)


def test_few_pairs_make_smaller_batches_rather_than_few_steps():
    config = DPOConfig(batch=16, epochs=2, minimum_pairs=20, minimum_steps=10)
    assert planned_batch(range(20), config) == 4
    assert planned_steps(20, config) == 10
    assert planned_batch(range(400), config) == 16
    assert planned_steps(200, config) == 26


def test_too_few_pairs_are_refused_with_the_number_wanted():
    with pytest.raises(TooLittleData, match="only 7 usable pairs; at least 20 wanted"):
        planned_steps(7, DPOConfig())


@pytest.mark.parametrize(
    ("loss", "option"),
    [("robust", "label_smoothing"), ("simpo", "gamma"), ("rao_kupper_win", "alpha")],
)
def test_a_loss_takes_its_option_from_the_configuration(loss, option):
    assert DPOConfig(loss=loss, **{option: 0.25}).loss_options() == {option: 0.25}


def test_ipo_averages_unless_it_is_told_to_sum():
    assert DPOConfig(loss="ipo").averages()
    assert not DPOConfig(loss="ipo", length_average=False).averages()
    assert not DPOConfig(loss="hinge", length_average=False).averages(), "as older runs stored it"


def test_ties_do_not_count_as_usable_pairs():
    config = DPOConfig(loss="rao_kupper_win", alpha=1.0, ties="rao_kupper")
    assert config.pair_options().ties == "rao_kupper"
    assert planned_steps(30, config, ties=10) == planned_steps(30, config)
    with pytest.raises(
        TooLittleData, match=r"only 15 usable pairs beside 15 ties; .* judge 5 more"
    ):
        planned_steps(30, config, ties=15)


@pytest.mark.parametrize("text", ["pairs: 0", "agreement: 1.5", "position_bias: 0", "islands: 0"])
def test_a_job_out_of_range_is_refused_by_name(tmp_path, text):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(ConfigRefused, match=text.partition(":")[0]):
        load_config(JobConfig, path)


def test_every_limit_of_the_gate_can_be_set_in_the_job(tmp_path):
    from preference.readiness import Limits

    names = [field.name for field in fields(Limits)]
    changed = JobConfig(**{name: 1 for name in names if name not in ("position_bias", "agreement",
                                                                      "gold_accuracy")},
                        position_bias=0.5, agreement=0.9, gold_accuracy=0.9)  # fmt: skip
    limits = changed.limits()
    assert {name: getattr(limits, name) for name in names} == {
        name: getattr(changed, name) for name in names
    }
    assert JobConfig().limits() == Limits(), "the same defaults in both rooms"
