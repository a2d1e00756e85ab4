"""Fusion against direct sums, against PEFT itself, and on hostile folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from db.settings import REPOSITORY
from training.adapters import read_card, verify_adapter
from training.errors import AdapterDamaged, AdapterMissing, FusionRefused
from training.fusion import fuse

MODULES = {"layers.0.attn.q_proj": (6, 5), "layers.0.mlp.up_proj": (5, 7)}


def peft_folder(path: Path, seed: int, r: int = 3, alpha: float = 6, **config) -> Path:
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True)
    tensors = {}
    for module, (fan_in, fan_out) in config.pop("modules", MODULES).items():
        a, b = rng.normal(size=(r, fan_in)), rng.normal(size=(fan_out, r))
        tensors[f"base_model.model.{module}.lora_A.weight"] = a.astype(np.float32)
        tensors[f"base_model.model.{module}.lora_B.weight"] = b.astype(np.float32)
    save_file(tensors, path / "adapter_model.safetensors")
    write_config(path, r=r, lora_alpha=alpha, **config)
    return path


def write_config(path: Path, **config) -> None:
    full = {
        "peft_type": "LORA",
        "base_model_name_or_path": "base",
        "target_modules": ["q_proj", "up_proj"],
        "bias": "none",
        **config,
    }
    (path / "adapter_config.json").write_text(json.dumps(full))


def delta(path: Path, module: str) -> np.ndarray:
    """s·B·A, by the configuration as it is written."""
    config = json.loads((path / "adapter_config.json").read_text())
    tensors = load_file(path / "adapter_model.safetensors")
    a = tensors[f"base_model.model.{module}.lora_A.weight"].astype(np.float64)
    b = tensors[f"base_model.model.{module}.lora_B.weight"].astype(np.float64)
    rank = a.shape[0]
    scale = config["lora_alpha"] / (np.sqrt(rank) if config.get("use_rslora") else rank)
    return scale * b @ a


def relative(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def test_the_sum_is_exact_for_signed_weights_ranks_and_alphas(tmp_path):
    parts = [
        (peft_folder(tmp_path / "one", 1, r=3, alpha=6), 0.7),
        (peft_folder(tmp_path / "two", 2, r=5, alpha=3, use_rslora=True), -1.3),
        (peft_folder(tmp_path / "three", 3, r=1, alpha=16), 0.0),
    ]
    report = fuse(parts, tmp_path / "fused")
    for module in MODULES:
        wanted = sum(weight * delta(path, module) for path, weight in parts)
        assert relative(delta(tmp_path / "fused", module), wanted) < 1e-6
    assert report.worst.relative_error < 1e-6
    config = json.loads((tmp_path / "fused" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == report.rank == 9
    card = verify_adapter(tmp_path / "fused")
    assert [parent["weight"] for parent in card.parents] == [0.7, -1.3, 0.0]
    assert card.kind == "fused"


def test_an_adapter_fused_with_itself_by_halves_is_itself(tmp_path):
    one = peft_folder(tmp_path / "one", 1)
    fuse([(one, 0.5), (one, 0.5)], tmp_path / "same")
    for module in MODULES:
        assert relative(delta(tmp_path / "same", module), delta(one, module)) < 1e-6


def test_the_order_of_the_parts_does_not_matter(tmp_path):
    parts = [
        (peft_folder(tmp_path / "one", 1, r=3), 0.7),
        (peft_folder(tmp_path / "two", 2, r=5, alpha=3), -0.4),
    ]
    fuse(parts, tmp_path / "forth")
    fuse(parts[::-1], tmp_path / "back")
    for module in MODULES:
        forth, back = delta(tmp_path / "forth", module), delta(tmp_path / "back", module)
        assert relative(back, forth) < 1e-6


@pytest.mark.parametrize(
    "targets", [["first", "second"], ["second"]], ids=["same targets", "different targets"]
)
def test_peft_loads_the_sum_and_computes_with_it(tmp_path, targets):
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(6, 5), torch.nn.Linear(5, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    def base():
        torch.manual_seed(0)
        return Net()

    def trained(seed, r, alpha, targets):
        config = peft.LoraConfig(r=r, lora_alpha=alpha, target_modules=targets)
        model = peft.get_peft_model(base(), config)
        torch.manual_seed(seed)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter)
        model.save_pretrained(tmp_path / f"a{seed}")
        return model.merge_and_unload()

    merged = [trained(1, 2, 8, targets), trained(2, 4, 2, ["first", "second"])]
    fuse([(tmp_path / "a1", 0.7), (tmp_path / "a2", 0.3)], tmp_path / "fused")
    loaded = peft.PeftModel.from_pretrained(base(), tmp_path / "fused").merge_and_unload()
    for name in ("first", "second"):
        start = getattr(base(), name).weight
        deltas = [getattr(model, name).weight - start for model in merged]
        wanted = start + 0.7 * deltas[0] + 0.3 * deltas[1]
        assert torch.allclose(getattr(loaded, name).weight, wanted, atol=1e-5)


def test_modules_of_different_rank_keep_their_own(tmp_path):
    one = peft_folder(tmp_path / "one", 1, r=2, alpha=4)
    tensors = load_file(one / "adapter_model.safetensors")
    wide = "base_model.model.layers.0.mlp.up_proj"
    rng = np.random.default_rng(9)
    tensors[f"{wide}.lora_A.weight"] = rng.normal(size=(4, 5)).astype(np.float32)
    tensors[f"{wide}.lora_B.weight"] = rng.normal(size=(7, 4)).astype(np.float32)
    save_file(tensors, one / "adapter_model.safetensors")
    write_config(one, r=2, lora_alpha=4, rank_pattern={"up_proj": 4}, alpha_pattern={"up_proj": 16})
    other = peft_folder(tmp_path / "other", 2, r=3, alpha=3)
    fuse([(one, 1.0), (other, 2.0)], tmp_path / "fused")
    config = json.loads((tmp_path / "fused" / "adapter_config.json").read_text())
    assert config["rank_pattern"] == config["alpha_pattern"]
    fused = load_file(tmp_path / "fused" / "adapter_model.safetensors")
    a, b = fused[f"{wide}.lora_A.weight"], fused[f"{wide}.lora_B.weight"]
    exact = 4.0 * tensors[f"{wide}.lora_B.weight"] @ tensors[f"{wide}.lora_A.weight"]
    assert relative(b @ a, exact + 2.0 * delta(other, "layers.0.mlp.up_proj")) < 1e-6


def test_bfloat16_rounds_last_and_the_report_says_how_much(tmp_path):
    one = peft_folder(tmp_path / "one", 1)
    report = fuse([(one, 0.3)], tmp_path / "small", dtype="bfloat16")
    assert 1e-4 < report.worst.relative_error < 1e-2
    again = fuse([(tmp_path / "small", 1.0)], tmp_path / "read-back")
    assert again.worst.relative_error < 1e-6
    small, wide = (fuse_delta_norm(tmp_path / name) for name in ("small", "read-back"))
    assert small == pytest.approx(wide, rel=1e-6)


def fuse_delta_norm(path: Path) -> float:
    from training.peft_files import read_lora

    source = read_lora(path, 1.0)
    return sum(
        float(np.linalg.norm(source.scales[m] * b @ a)) for m, (a, b) in source.factors.items()
    )


def test_weights_that_cancel_report_a_small_error(tmp_path):
    one = peft_folder(tmp_path / "one", 1)
    report = fuse([(one, 1.0), (one, -1.0)], tmp_path / "nothing")
    assert report.worst.relative_error < 1e-6


@settings(max_examples=15, deadline=None)
@given(weights=st.lists(st.floats(-3, 3), min_size=1, max_size=4), ranks=st.data())
def test_any_weights_sum_exactly(tmp_path_factory, weights, ranks):
    root = tmp_path_factory.mktemp("sum")
    parts = []
    for number, weight in enumerate(weights):
        r = ranks.draw(st.integers(1, 6))
        parts.append((peft_folder(root / f"a{number}", number, r=r, alpha=r * 1.5), weight))
    fuse(parts, root / "fused")
    for module in MODULES:
        wanted = sum(weight * delta(path, module) for path, weight in parts)
        scale = sum(np.linalg.norm(weight * delta(path, module)) for path, weight in parts)
        assert np.linalg.norm(delta(root / "fused", module) - wanted) <= 1e-6 * scale + 1e-12


def refused(parts, out, message, error=FusionRefused):
    with pytest.raises(error, match=message) as caught:
        fuse(parts, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_unlike_adapters_are_refused_with_the_difference(tmp_path):
    one = peft_folder(tmp_path / "one", 1)
    out = tmp_path / "out"
    base = peft_folder(tmp_path / "base", 2, base_model_name_or_path="another")
    refused([(one, 1.0), (base, 1.0)], out, "different base models")
    shapes = peft_folder(
        tmp_path / "shapes", 2, modules={**MODULES, "layers.0.mlp.up_proj": (5, 8)}
    )
    refused([(one, 1.0), (shapes, 1.0)], out, "maps 5 to 7 features")


def with_base_hash(folder: Path, sha256: str) -> Path:
    """The same adapter as the engine exports it: the base's hash in the weights' metadata."""
    weights = folder / "adapter_model.safetensors"
    save_file(load_file(weights), weights, metadata={"base_model_sha256": sha256})
    return folder


def test_one_base_is_known_by_its_hash_or_by_any_spelling_of_its_path(tmp_path):
    near = "data/models/personaloop-base"
    far = str(REPOSITORY / near)
    one = peft_folder(tmp_path / "one", 1, base_model_name_or_path=near)
    two = peft_folder(tmp_path / "two", 2, base_model_name_or_path=far)
    three = with_base_hash(peft_folder(tmp_path / "three", 3, base_model_name_or_path=far), "a")
    moved = with_base_hash(peft_folder(tmp_path / "moved", 4, base_model_name_or_path="x"), "a")
    for number, parts in enumerate([(one, two), (one, three), (three, moved)]):
        fuse([(part, 0.5) for part in parts], tmp_path / f"fused{number}")
    assert read_card(tmp_path / "fused1").base_model_sha256 == "a"
    other = with_base_hash(peft_folder(tmp_path / "other", 5, base_model_name_or_path=far), "b")
    refused([(three, 1.0), (other, 1.0)], tmp_path / "out", "different base models")
    # The third of three is compared with each of the others.
    refused([(one, 1.0), (three, 1.0), (other, 1.0)], tmp_path / "out", "different base models")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"use_dora": True}, "use_dora is set"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is set"),
        ({"alora_invocation_tokens": [5]}, "alora_invocation_tokens is set"),
        ({"init_lora_weights": "pissa"}, "changes the base model"),
        ({"peft_type": "LOHA"}, "only LORA"),
        ({"some_future_trick": 1}, "some_future_trick is set"),
    ],
)
def test_settings_that_break_the_sum_are_refused(tmp_path, setting, message):
    one = peft_folder(tmp_path / "one", 1, **setting)
    refused([(one, 1.0)], tmp_path / "out", message)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), "1", None, True])
def test_weights_must_be_finite_numbers(tmp_path, weight):
    one = peft_folder(tmp_path / "one", 1)
    refused([(one, weight)], tmp_path / "out", "weight must be")


def test_damaged_folders_are_refused(tmp_path):
    out = tmp_path / "out"
    refused([], out, "nothing to fuse")
    refused([(tmp_path / "nowhere", 1.0)], out, "no adapter there", AdapterMissing)
    one = peft_folder(tmp_path / "rank", 1)
    write_config(one, r=4, lora_alpha=6)
    refused([(one, 1.0)], out, "says r=4")
    write_config(one, r=True, lora_alpha=6)
    refused([(one, 1.0)], out, "r must be a whole number", AdapterDamaged)
    for field, value in [
        ("lora_alpha", None),
        ("alpha_pattern", {"up_proj": "6"}),
        ("alpha_pattern", {"(": 6}),
        ("rank_pattern", ["up_proj"]),
    ]:
        write_config(one, **{"r": 3, "lora_alpha": 6, field: value})
        refused([(one, 1.0)], out, f"adapter_config.json: {field}", AdapterDamaged)
    (one / "adapter_config.json").write_text("{")
    refused([(one, 1.0)], out, "not valid JSON", AdapterDamaged)
    two = peft_folder(tmp_path / "half", 1)
    tensors = load_file(two / "adapter_model.safetensors")
    del tensors["base_model.model.layers.0.mlp.up_proj.lora_B.weight"]
    save_file(tensors, two / "adapter_model.safetensors")
    refused([(two, 1.0)], out, "no lora_B.weight", AdapterDamaged)
    tensors["base_model.model.embed.lora_embedding_A"] = np.zeros((2, 2), np.float32)
    save_file(tensors, two / "adapter_model.safetensors")
    refused([(two, 1.0)], out, "no LoRA factor of a linear layer")
    three = peft_folder(tmp_path / "nan", 1)
    tensors = load_file(three / "adapter_model.safetensors")
    next(iter(tensors.values()))[0, 0] = np.nan
    save_file(tensors, three / "adapter_model.safetensors")
    refused([(three, 1.0)], out, "not finite")
    (three / "adapter_model.safetensors").write_bytes(b"\xff" * 40)
    refused([(three, 1.0)], out, "not a safetensors file", AdapterDamaged)


def test_nothing_is_overwritten_and_an_empty_folder_is_taken(tmp_path):
    one = peft_folder(tmp_path / "one", 1)
    (tmp_path / "empty").mkdir()
    fuse([(one, 1.0)], tmp_path / "empty")
    assert read_card(tmp_path / "empty").parents[0]["id"] == "one"
    before = (tmp_path / "empty" / "adapter.json").read_bytes()
    with pytest.raises(FusionRefused, match="already exists"):
        fuse([(one, 2.0)], tmp_path / "empty")
    assert (tmp_path / "empty" / "adapter.json").read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_fusion_needs_no_torch(tmp_path):
    import subprocess
    import sys

    code = "import sys, training.fusion; sys.exit('torch' in sys.modules or 'peft' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
