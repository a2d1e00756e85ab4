"""tinker-cookbook's DPO beside ours, on one engine, from one state, on the same pairs."""

import json
from dataclasses import replace

import pytest
from serving import KEY

pytestmark = pytest.mark.slow


@pytest.fixture
def cookbook(running, monkeypatch):
    monkeypatch.setenv("TINKER_API_KEY", KEY)
    monkeypatch.setenv("TINKER_BASE_URL", running.url)
    return running


def metrics_of(folder) -> list[dict]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def same_start(running, tiny):
    """A state that both sides begin with: random factors in both matrices."""
    from sdk_values import datum, tokens
    from tinker import AdamParams

    client = running.client().create_lora_training_client(
        str(tiny), rank=8, seed=3, user_metadata={"renderer_name": "role_colon"}
    )
    client = client.result() if hasattr(client, "result") else client
    for seed in range(2):
        client.forward_backward([datum(tokens(seed, 20))], "cross_entropy").result()
        client.optim_step(AdamParams(learning_rate=0.01)).result()
    return client.save_state("start").result().path


def test_ours_and_theirs_reach_the_same_dpo_loss_on_the_same_pairs(cookbook, tiny, tmp_path):
    import tinker
    from tinker_cookbook.preference import train_dpo
    from tinker_cookbook.preference.dpo_datasets import DPODatasetBuilderFromComparisons
    from tinker_cookbook.preference.preference_datasets import ComparisonBuilderFromJsonl
    from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig

    from training.datums import Encoder
    from training.dpo import DPOData, Reference
    from training.dpo import train_dpo as ours
    from training.dpo_config import DPOConfig
    from training.hosted import HostedConfig, name_sha256
    from training.pairs import PreferencePair
    from training.personas import load_personas
    from training.runs import RunFolder
    from training.service import Service

    service = Service(
        cookbook.client(),
        tinker.RestClient(base_url=cookbook.url, api_key=KEY),
        str(tiny),
        None,
        name_sha256(str(tiny)),
        True,
        512,
        address=cookbook.url,
        terms=HostedConfig(renderer="role_colon"),
    )
    persona = replace(next(iter(load_personas().values())), guide="Be kind.", variables=())
    encoder = Encoder(service, persona)
    asked = [[{"role": "user", "content": f"hello {i}?"}] for i in range(12)]
    said = [(f"good morning, number {i}", f"go away{'!' * (i % 5)}") for i in range(12)]
    start = same_start(cookbook, tiny)

    file = tmp_path / "comparisons.jsonl"
    rows = [
        {
            "comparison": {
                "prompt_conversation": encoder.turns(messages),
                "completion_A": [{"role": "assistant", "content": good}],
                "completion_B": [{"role": "assistant", "content": bad}],
            },
            "label": "A",
        }
        for messages, (good, bad) in zip(asked, said, strict=True)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    builder = DPODatasetBuilderFromComparisons(
        common_config=ChatDatasetBuilderCommonConfig(
            model_name_for_tokenizer=str(tiny),
            renderer_name="role_colon",
            max_length=512,
            batch_size=12,
        ),
        comparison_builder=ComparisonBuilderFromJsonl(train_path=str(file)),
    )
    train_dpo.main(
        train_dpo.Config(
            log_path=str(tmp_path / "log"),
            model_name=str(tiny),
            recipe_name="engine-test",
            renderer_name="role_colon",
            load_checkpoint_path=start,
            dataset_builder=builder,
            learning_rate=0.003,
            num_epochs=5,
            lora_rank=8,
            dpo_beta=0.1,
            adam_eps=1e-12,
            eval_every=0,
            infrequent_eval_every=0,
            save_every=0,
        )
    )
    theirs = [m["dpo_loss"] for m in metrics_of(tmp_path / "log") if "dpo_loss" in m]

    pairs = [
        PreferencePair(messages, good, bad, 1.0, 1.0, (i,), str(i))
        for i, (messages, (good, bad)) in enumerate(zip(asked, said, strict=True))
    ]
    encoded = tuple(encoder.pairs(pairs))
    given = {tuple(d.model_input.to_ints()) for d in builder()[0].get_batch(0)}
    tokens = {(*s.prompt, *s.completion)[:-1] for p in encoded for s in (p.chosen, p.rejected)}
    assert tokens == given, "the renderer gives both the same tokens"
    run = RunFolder(tmp_path / "run")
    config = DPOConfig(
        beta=0.1,
        learning_rate=0.003,
        epochs=5,
        batch=12,
        minimum_pairs=12,
        minimum_steps=5,
        warmup=0.0,
        schedule="linear",
        clip=0.0,
        nll_weight=0.0,
    )
    ours(service, DPOData(encoded, (), ()), config, Reference("start", "", start), run)
    mine = [record["loss"] for record in run.metrics() if "loss" in record]
    assert len(theirs) == len(mine) == 5
    assert theirs[0] == pytest.approx(0.6931, abs=1e-3) and theirs[-1] < 0.6
    assert mine == pytest.approx(theirs, abs=1e-4)
