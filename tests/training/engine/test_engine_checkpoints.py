"""Saving, loading, exports, listings, adapter folders, and what survives kill -9."""

import json
import shutil
import threading
import time
import urllib.parse
import urllib.request
from dataclasses import replace

import pytest
import tinker
import torch
from safetensors.torch import save_file
from sdk_values import checkpoint_folder, datum, factors_of, plain_model, tokens
from serving import EngineProcess, engine_in_thread
from tinker import types
from tiny import make_tiny

from training.engine.hashes import base_model_sha256
from training.engine.protocol.checkpoint import Checkpoint
from training.engine.protocol.store import Store
from training.engine.settings import EngineSettings

SAMPLE = {"seq_id": 99, "num_samples": 1, "sampling_params": {"max_tokens": 1}}
SAMPLE["prompt"] = {"chunks": [{"type": "encoded_text", "tokens": [5, 6]}]}


def train(model, steps, first=0):
    for i in range(first, first + steps):
        model.forward_backward([datum(tokens(i, 30))], "cross_entropy")
        model.optim_step(types.AdamParams(learning_rate=0.01, weight_decay=0.01)).result()


def same(a, b) -> bool:
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


def saved(running, model, name="look"):
    path = model.save_state(name, overwrite=True).result().path
    return factors_of(checkpoint_folder(running, path))


def test_training_goes_on_bit_for_bit_from_a_state_with_optimizer(running, client, tiny):
    model = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
    train(model, 3)
    path = model.save_state("three").result().path
    train(model, 3, first=3)
    other = client.create_training_client_from_state_with_optimizer(path).result()
    train(other, 3, first=3)
    assert same(saved(running, model), saved(running, other))
    fresh = client.create_training_client_from_state(path).result()
    train(fresh, 3, first=3)
    assert not same(saved(running, model), saved(running, fresh)), "without moments it must differ"


def test_a_state_loads_into_an_existing_model(running, client, tiny):
    model = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
    train(model, 2)
    path = model.save_state("two").result().path
    wanted = saved(running, model)
    train(model, 2, first=2)
    model.load_state_with_optimizer(path).result()
    assert same(saved(running, model), wanted)


def test_after_loading_another_state_its_rank_and_switches_are_told(running, client, tiny):
    narrow = client.create_lora_training_client(str(tiny), rank=2, train_mlp=False).result()
    model = client.create_lora_training_client(str(tiny), rank=4).result()
    model.load_state(narrow.save_state("narrow").result().path).result()
    path = model.save_state("after").result().path
    told = client.create_rest_client().get_weights_info_by_tinker_path(path).result()
    assert (told.lora_rank, told.train_mlp, told.train_attn) == (2, False, True)


def test_run_metadata_and_listings_tell_what_was_saved(running, client, tiny):
    model = client.create_lora_training_client(
        str(tiny), rank=4, user_metadata={"renderer_name": "role_colon"}
    ).result()
    rest = client.create_rest_client()
    model.save_state("one", user_metadata={"step": "1"}, ttl_seconds=7200).result()
    sampler_path = model.save_weights_for_sampler("one").result().path
    model.save_weights_external("one").result()
    run = rest.get_training_run(model.model_id).result()
    assert run.user_metadata == {"renderer_name": "role_colon"}
    assert run.lora_rank == 4
    assert run.last_checkpoint.checkpoint_id == "weights/one"
    assert run.last_checkpoint.user_metadata == {"step": "1"}
    assert run.last_checkpoint.expires_at is not None
    assert run.last_sampler_checkpoint.tinker_path == sampler_path
    found = rest.list_checkpoints(model.model_id).result().checkpoints
    assert {c.checkpoint_type for c in found} == {"training", "sampler", "external"}
    assert rest.list_user_checkpoints(limit=1).result().cursor.total_count >= 3
    assert model.model_id in {
        r.training_run_id for r in rest.list_training_runs(limit=100).result().training_runs
    }
    info = rest.get_weights_info_by_tinker_path(sampler_path).result()
    assert (info.base_model, info.lora_rank, info.is_lora) == (str(tiny), 4, True)
    session = rest.get_session(model.model_id.split(":")[0]).result()
    assert model.model_id in session.training_run_ids
    rest.publish_checkpoint_from_tinker_path(sampler_path).result()
    assert rest.get_training_run(model.model_id).result().last_sampler_checkpoint.public
    rest.set_checkpoint_ttl_from_tinker_path(sampler_path, None).result()
    rest.delete_checkpoint_from_tinker_path(sampler_path).result()
    with pytest.raises(tinker.NotFoundError):
        client.create_sampling_client(model_path=sampler_path).result()
    other = client.create_training_client_from_state(
        f"tinker://{model.model_id}/weights/one"
    ).result()
    again = rest.get_training_run(other.model_id).result()
    assert again.user_metadata == {"renderer_name": "role_colon"}


def test_a_checkpoint_past_its_time_is_gone(running, client, tiny):
    model = client.create_lora_training_client(str(tiny), rank=2).result()
    path = model.save_state("short", ttl_seconds=1).result().path
    time.sleep(1.1)
    with pytest.raises(tinker.NotFoundError, match="expired"):
        client.create_training_client_from_state(path).result()


def test_overwritten_sampler_weights_are_used_from_the_next_sample_on(running, client, tiny):
    model = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
    path = model.save_weights_for_sampler("live").result().path
    sampler = client.create_sampling_client(model_path=path).result()
    prompt = types.ModelInput.from_ints(tokens(1, 6))
    before = sampler.compute_logprobs(prompt).result()
    train(model, 2)
    # The SDK has no overwrite for sampler weights; the protocol has.
    reply = running.post(
        "/save_weights_for_sampler",
        {"model_id": model.model_id, "seq_id": 6, "path": "live", "overwrite": True},
    )
    told = running.post("/retrieve_future", {"request_id": reply.json()["request_id"]}).json()
    assert told["path"] == path
    assert sampler.compute_logprobs(prompt).result() != before


def test_a_deleted_checkpoint_is_no_longer_sampled_from(running, client, tiny):
    model = client.create_lora_training_client(str(tiny), rank=2).result()
    path = model.save_weights_for_sampler("gone").result().path
    sampler = client.create_sampling_client(model_path=path).result()
    prompt = types.ModelInput.from_ints([5, 6, 7])
    sampler.compute_logprobs(prompt).result()
    client.create_rest_client().delete_checkpoint_from_tinker_path(path).result()
    with pytest.raises(tinker.NotFoundError):
        sampler.compute_logprobs(prompt).result()


def test_what_is_being_sampled_from_a_deleted_checkpoint_is_finished(running, client, tiny):
    model = client.create_lora_training_client(str(tiny), rank=2).result()
    path = model.save_weights_for_sampler("going").result().path
    sampler = client.create_sampling_client(model_path=path).result()
    prompt = types.ModelInput.from_ints([5, 6, 7])
    sampler.compute_logprobs(prompt).result()
    long = types.SamplingParams(max_tokens=400, stop=[], seed=1)
    futures = [sampler.sample(prompt, 8, long) for _ in range(8)]
    time.sleep(0.2)
    client.create_rest_client().delete_checkpoint_from_tinker_path(path).result()
    for future in futures:
        assert [len(s.tokens) for s in future.result().sequences] == [400] * 8


def test_sampler_weights_in_memory_are_bounded_by_their_size(base, tmp_path, monkeypatch):
    from training.engine.compute import models as module
    from training.engine.messages import LoraChoice

    models = module.Models(base, tmp_path / "parked", 10**9)
    folders = []
    for name in ("one", "two", "three"):
        models.create(name, LoraChoice(4, 8.0))
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        models.files(name, optimizer=False).write(folders[-1])
    size = models.get("one").lora.flat.nbytes
    monkeypatch.setattr(module, "FACTORS_BUDGET_BYTES", 2 * size)
    for folder in folders:
        with models.sampling_from(str(folder)):
            pass
    assert list(models._weights) == [str(folders[1]), str(folders[2])]


def test_what_was_saved_on_another_base_of_the_same_name_and_shape_is_refused(tmp_path):
    folder = make_tiny(tmp_path / "base", seed=1)
    settings = EngineSettings(base_model=folder, state_dir=tmp_path / "state", adapters=())
    with engine_in_thread(settings) as running:
        client = running.client()
        model = client.create_lora_training_client(str(folder), rank=2).result()
        train(model, 1)
        path = model.save_state("state").result().path
        snapshot = model.save_weights_and_get_sampling_client().result()
    make_tiny(folder, seed=2)
    with engine_in_thread(settings) as running:
        client = running.client()
        for make in (
            lambda: client.create_sampling_client(model_path=path),
            lambda: client.create_training_client_from_state(path),
        ):
            with pytest.raises(tinker.BadRequestError, match="made for the base"):
                make().result()
        # What the clients of before still know of: a private snapshot, a model in training.
        for request, body in [
            ("/asample", {"sampling_session_id": snapshot._sampling_session_id, **SAMPLE}),
            ("/optim_step", {"model_id": model.model_id, "seq_id": 99, "adam_params": {}}),
        ]:
            told = running.post(request, body).json()
            told = running.post("/retrieve_future", {"request_id": told["request_id"]}).json()
            assert "made for the base" in told["error"], request


@pytest.mark.parametrize("family", ["llama", "qwen2", "neox", "gpt2"])
def test_an_export_loads_with_peft_and_gives_the_same_logits(tmp_path, family):
    import numpy as np
    from tiny import make_tiny

    from training.engine.compute.base import BaseModel
    from training.engine.compute.models import Models
    from training.engine.messages import AdamParams, Datum, LoraChoice

    base = BaseModel(make_tiny(tmp_path / family, family))
    models = Models(base, tmp_path / "parked", 10**9)
    for name, choice in {
        "all": LoraChoice(4, 8.0, seed=0),
        "attn": LoraChoice(3, 5.0, seed=0, train_mlp=False, train_unembed=False),
        "mlp": LoraChoice(2, 4.0, seed=0, train_attn=False, train_unembed=False),
    }.items():
        model = models.create(name, choice)
        ids = np.array(tokens(1, 20))
        item = Datum(ids[:-1], {"target_tokens": ids[1:], "weights": np.ones(19, np.float32)})
        for _ in range(3):
            list(model.forward_backward([item], "cross_entropy", {}, backward=True))
            model.optim_step(AdamParams(learning_rate=0.05))
        folder = tmp_path / f"{family}-{name}"
        folder.mkdir()
        models.files(name, optimizer=False).write(folder)
        *_, result = model.forward_backward([item], "cross_entropy", {}, backward=False)
        peft_model = plain_model(tmp_path / family, folder)
        with torch.no_grad():
            logits = peft_model(torch.tensor(ids[:-1])[None]).logits[0].float()
        wanted = torch.log_softmax(logits, -1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(result.logprobs[0]), wanted, rtol=1e-4, atol=1e-4)
        n_adapted = sum(1 for n, _ in peft_model.named_parameters() if "lora_A" in n)
        assert n_adapted == len(model.lora.shapes), "PEFT adapts exactly the trained layers"
        # And merged for sampling it is the same model again.
        from training.engine.compute.sampling import sample_now
        from training.engine.messages import SampleRequest, SamplingParams

        request = SampleRequest(
            str(folder), ids, 1, SamplingParams(max_tokens=1), prompt_logprobs=True
        )
        with torch.inference_mode(), models.sampling_from(str(folder)):
            sampled = sample_now(base, [request])[0]
        torch.testing.assert_close(
            torch.tensor(sampled.prompt_logprobs[1:]), wanted, rtol=1e-4, atol=1e-4
        )


def test_an_export_is_downloaded_by_signed_addresses_without_the_key(
    running, client, tiny, tmp_path
):
    model = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
    train(model, 1)
    path = model.save_weights_external("export").result().path
    rest = client.create_rest_client()
    told = rest.get_external_weights_urls(path).result()
    assert set(told.urls) == {"adapter_config.json", "adapter_model.safetensors"}
    for name, url in told.urls.items():
        with urllib.request.urlopen(url) as reply:
            (tmp_path / name).write_bytes(reply.read())
    assert same(factors_of(tmp_path), saved(running, model))
    address = urllib.parse.urlsplit(told.urls["adapter_config.json"]).path
    place, token, _ = address.rsplit("/", 2)
    expires, _, signature = token.partition("-")
    for bad in (
        f"{place}/{token}/optimizer.safetensors",
        f"{place}/{token}/..%2F..%2Fx",
        f"{place}/guess/adapter_config.json",
        f"{place}/{int(expires) + 3600}-{signature}/adapter_config.json",
        f"{place.replace('export', 'other')}/{token}/adapter_config.json",
        "/download/guess/adapter_config.json",
    ):
        assert running.get(bad, key=None).status_code == 404
    assert running.get(address, key=None).status_code == 200
    rest.delete_checkpoint_from_tinker_path(path).result()
    assert model.save_weights_external("export").result().path == path
    assert running.get(address, key=None).status_code == 404, "those weights are gone"
    with pytest.raises(tinker.BadRequestError, match="export"):
        client.create_sampling_client(model_path=path).result()


def make_adapter(running, client, tiny, root, persona, name, facts):
    model = client.create_lora_training_client(
        str(tiny), rank=2, seed=1, train_mlp=False, user_metadata={"lora_alpha": "6"}
    ).result()
    train(model, 2)
    folder = checkpoint_folder(running, model.save_weights_for_sampler("x").result().path)
    target = root / persona / name
    shutil.copytree(folder, target)
    (target / "adapter.json").write_text(json.dumps({"id": name, "persona": persona, **facts}))
    return model, target


def test_an_adapter_folder_is_a_checkpoint_to_sample_from_and_to_train_on(
    running, client, tiny, adapters_root
):
    facts = {"base_model": str(tiny), "base_model_sha256": base_model_sha256(tiny)}
    source, folder = make_adapter(
        running, client, tiny, adapters_root, "luxury_curator", "luxury_curator-sft-v1", facts
    )
    path = "tinker://adapter-luxury_curator/weights/luxury_curator-sft-v1"
    ids = types.ModelInput.from_ints(tokens(1, 12))
    sampler = client.create_sampling_client(model_path=path).result()
    wanted = source.save_weights_and_get_sampling_client().result().compute_logprobs(ids).result()
    assert sampler.compute_logprobs(ids).result()[1:] == pytest.approx(wanted[1:], abs=1e-5)
    model = client.create_training_client_from_state(path).result()
    assert model.get_info().lora_rank == 2
    assert same(saved(running, model), factors_of(folder))
    train(model, 1)
    config = json.loads(
        (
            checkpoint_folder(running, model.save_state("y").result().path) / "adapter_config.json"
        ).read_text()
    )
    assert (config["r"], config["lora_alpha"]) == (2, 6)
    assert config["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]
    with pytest.raises(tinker.BadRequestError, match="without optimizer state"):
        client.create_training_client_from_state_with_optimizer(path).result()
    rest = client.create_rest_client()
    assert path in {c.tinker_path for c in rest.list_user_checkpoints().result().checkpoints}
    assert rest.get_training_run_by_tinker_path(path).result().lora_rank == 2
    with pytest.raises(tinker.APIStatusError, match="only reads"):
        rest.delete_checkpoint_from_tinker_path(path).result()
    assert (folder / "adapter_model.safetensors").is_file()


def test_an_adapter_of_another_base_is_refused_at_once(running, client, tiny, adapters_root):
    make_adapter(
        running,
        client,
        tiny,
        adapters_root,
        "playful_sidekick",
        "other",
        {"base_model_sha256": "0" * 64},
    )
    path = "tinker://adapter-playful_sidekick/weights/other"
    for make in (
        lambda: client.create_sampling_client(model_path=path),
        lambda: client.create_training_client_from_state(path),
    ):
        with pytest.raises(tinker.BadRequestError, match="made for the base"):
            make().result()


def test_an_adapter_that_is_no_plain_lora_is_refused(running, client, tiny, adapters_root):
    _, folder = make_adapter(running, client, tiny, adapters_root, "technical_advisor", "odd", {})
    config = json.loads((folder / "adapter_config.json").read_text())
    path = "tinker://adapter-technical_advisor/weights/odd"
    for change, message in [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"r": 16}, "rank"),
        ({"r": "2"}, "r must be a whole number"),
        ({"lora_alpha": None}, "lora_alpha must be"),
        ({"alpha_pattern": {"(": 1}}, "alpha_pattern"),
        ({"alora_invocation_tokens": [5]}, "alora_invocation_tokens"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"peft_type": "IA3"}, "LORA"),
    ]:
        (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(tinker.RequestFailedError, match=message):
            client.create_training_client_from_state(path).result()
    (folder / "adapter_config.json").write_text(json.dumps(config))
    factors = factors_of(folder)
    next(iter(factors.values()))[0, 0] = float("nan")
    save_file(factors, folder / "adapter_model.safetensors")
    with pytest.raises(tinker.RequestFailedError, match="inf or NaN"):
        client.create_training_client_from_state(path).result()
    (folder / "adapter_model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(tinker.RequestFailedError, match="cannot be read"):
        client.create_training_client_from_state(path).result()


def test_patterns_and_rslora_in_an_adapters_config_are_honoured(base, tiny, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from training.engine.compute.models import Models

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["q_proj", "up_proj"],
        use_rslora=True,
        rank_pattern={"layers.1.self_attn.q_proj": 2},
        alpha_pattern={"up_proj": 3},
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    peft_model = get_peft_model(model, config).eval()
    peft_model.save_pretrained(tmp_path / "odd")
    models = Models(base, tmp_path / "parked", 10**9)
    loaded = models.create_from("m", tmp_path / "odd", optimizer=False)
    from training.engine.compute.lora import switched_on

    ids = torch.tensor([tokens(1, 15)])
    with torch.no_grad(), switched_on(base.layers, loaded.lora):
        found = base.logits(ids)
    with torch.no_grad():
        wanted = peft_model(ids).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    # Exported again (rank and alpha patterns now explicit), PEFT gives the same logits.
    (tmp_path / "again").mkdir()
    models.files("m", optimizer=False).write(tmp_path / "again")
    with torch.no_grad():
        again = plain_model(tiny, tmp_path / "again")(ids).logits
    torch.testing.assert_close(again, wanted, rtol=1e-4, atol=1e-4)


def test_models_out_of_memory_come_back_whole_with_gradient_and_moments(base, tmp_path):
    import numpy as np

    from training.engine.compute.models import Models
    from training.engine.messages import AdamParams, Datum, LoraChoice

    ids = np.array(tokens(1, 20))
    item = Datum(ids[:-1], {"target_tokens": ids[1:], "weights": np.ones(19, np.float32)})

    def run(models, between):
        model = models.create("a:train:0", LoraChoice(4, 8.0, seed=0))
        list(model.forward_backward([item], "cross_entropy", {}, backward=True))
        model.optim_step(AdamParams(learning_rate=0.01))
        list(model.forward_backward([item], "cross_entropy", {}, backward=True))
        between(models)
        models.get("a:train:0").optim_step(AdamParams(learning_rate=0.01))
        return models.get("a:train:0").lora.flat.clone()

    quiet = run(Models(base, tmp_path / "1", 10**9), lambda _: None)

    def crowd(models):
        for i in range(5):
            models.create(f"other:train:{i}", LoraChoice(4, 8.0))
        assert "a:train:0" not in models.live

    crowded = run(Models(base, tmp_path / "2", 1), crowd)
    assert torch.equal(quiet, crowded)


@pytest.mark.slow
def test_after_kill_9_training_resumes_bit_for_bit_and_samplers_live_on(tiny, tmp_path):
    settings = EngineSettings(base_model=tiny, state_dir=tmp_path / "state", adapters=())
    with EngineProcess(settings) as engine:
        running = engine.start()
        client = running.client()
        model = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
        train(model, 2)
        path = model.save_state("two").result().path
        sampler = model.save_weights_and_get_sampling_client().result()
        base_sampler = client.create_sampling_client(base_model=str(tiny)).result()
        prompt = types.ModelInput.from_ints(tokens(1, 9))
        before = sampler.compute_logprobs(prompt).result()
        train(model, 2, first=2)
        wanted = saved(running, model, "four")
        engine.kill()
        running = engine.start()
        # The client is the same; its model is lost, its checkpoints and samplers are not.
        with pytest.raises((tinker.NotFoundError, tinker.RequestFailedError, RuntimeError)):
            model.forward_backward([datum(tokens(1, 10))], "cross_entropy").result()
        assert sampler.compute_logprobs(prompt).result() == pytest.approx(before, nan_ok=True)
        base_sampler.compute_logprobs(prompt).result()
        resumed = client.create_training_client_from_state_with_optimizer(path).result()
        train(resumed, 2, first=2)
        assert same(saved(running, resumed), wanted)
        # A clean end parks what is being trained, so that a restart loses nothing at all.
        resumed.forward_backward([datum(tokens(7, 12))], "cross_entropy").result()
        assert engine.terminate() == 0
        assert not settings.announcement.exists()
        running = engine.start()
        resumed.optim_step(types.AdamParams(learning_rate=0.01)).result()
        after = saved(running, resumed, "after-restart")
        assert not same(after, wanted)


@pytest.mark.slow
def test_kill_9_while_overwriting_leaves_the_old_or_the_new_checkpoint_whole(tiny, tmp_path):
    settings = EngineSettings(base_model=tiny, state_dir=tmp_path / "state", adapters=())
    with EngineProcess(settings) as engine:
        for attempt in range(2):
            running = engine.start()
            client = running.client()
            model = client.create_lora_training_client(str(tiny), rank=8, seed=attempt).result()
            path = model.save_state("kept").result().path
            ended = threading.Event()

            def overwrite(model=model, ended=ended):
                try:
                    for i in range(10_000):
                        if ended.is_set():
                            return
                        model.forward_backward([datum(tokens(i, 20))], "cross_entropy")
                        model.optim_step(types.AdamParams(learning_rate=0.01))
                        model.save_state("kept", overwrite=True).result(timeout=5)
                except Exception:  # noqa: BLE001 - the engine is killed under it
                    return

            thread = threading.Thread(target=overwrite, daemon=True)
            thread.start()
            time.sleep(0.7 + 0.37 * attempt)
            engine.kill()
            ended.set()
            running = engine.start()
            store = Store(settings.state_dir / "checkpoints", (), str(tiny))
            folder = store.get(path).folder
            assert {f.name for f in folder.iterdir()} == {
                "adapter_model.safetensors",
                "adapter_config.json",
                "optimizer.safetensors",
            }
            assert [p.name for p in folder.parent.iterdir() if p.name.startswith("v-")] == [
                folder.name
            ], "nothing half-written is left behind"
            running.client().create_training_client_from_state_with_optimizer(path).result()
            engine.kill()


def publish(store: Store, text: str, overwrite: bool = False) -> Checkpoint:
    folder = store.begin()
    (folder / "f").write_text(text)
    return store.publish(
        folder,
        "r:train:0",
        "weights",
        "n",
        facts={"base_model": "base"},
        user_metadata=None,
        ttl_seconds=None,
        overwrite=overwrite,
    )


def test_a_checkpoint_saved_anew_just_as_the_old_one_expires_is_kept(tmp_path, monkeypatch):
    store = Store(tmp_path, (), "base")
    old = publish(store, "old")
    store._rewrite(replace(old, expires=old.created))
    load = store._load

    def overtaken(place):
        found = load(place)
        monkeypatch.undo()
        publish(store, "new", overwrite=True)
        return found

    monkeypatch.setattr(store, "_load", overtaken)
    assert (store.get(old.path).folder / "f").read_text() == "new"


def test_a_crash_between_writing_and_publishing_leaves_the_old_checkpoint(tmp_path):
    store = Store(tmp_path, (), "base")
    old = publish(store, "old")
    # The new version is in place but not yet named by the pointer: as after a kill there.
    half = old.folder.parent / "v-half"
    half.mkdir()
    (half / "f").write_text("new, torn")
    (old.folder.parent / ".checkpoint.json.ab.tmp").write_text("{")
    again = Store(tmp_path, (), "base")
    assert (again.get(old.path).folder / "f").read_text() == "old"
    assert not half.exists()
    assert (publish(store, "new", overwrite=True).folder / "f").read_text() == "new"
    assert not old.folder.exists()
