"""tinker-cookbook's own recipes, unmodified, against the engine."""

import asyncio
import json

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


def test_supervised_train_runs_unmodified_and_the_loss_falls(cookbook, tiny, tmp_path):
    from tinker_cookbook.renderers import TrainOnWhat
    from tinker_cookbook.supervised import train
    from tinker_cookbook.supervised.data import FromConversationFileBuilder
    from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig

    file = tmp_path / "conversations.jsonl"
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"hello {i}"},
                {"role": "assistant", "content": "good morning to you"},
            ]
        }
        for i in range(24)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    config = train.Config(
        log_path=str(tmp_path / "log"),
        model_name=str(tiny),
        recipe_name="engine-test",
        renderer_name="role_colon",
        dataset_builder=FromConversationFileBuilder(
            file_path=str(file),
            common_config=ChatDatasetBuilderCommonConfig(
                model_name_for_tokenizer=str(tiny),
                renderer_name="role_colon",
                max_length=128,
                batch_size=8,
                train_on_what=TrainOnWhat.LAST_ASSISTANT_MESSAGE,
            ),
        ),
        learning_rate=0.01,
        num_epochs=2,
        lora_rank=8,
        eval_every=0,
        infrequent_eval_every=0,
        save_every=3,
    )
    asyncio.run(train.main(config))
    losses = [m["train_mean_nll"] for m in metrics_of(tmp_path / "log") if "train_mean_nll" in m]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    checkpoints = (tmp_path / "log" / "checkpoints.jsonl").read_text().splitlines()
    assert json.loads(checkpoints[-1])["name"] == "final"


def test_preference_train_dpo_runs_unmodified_and_the_margin_grows(cookbook, tiny, tmp_path):
    from tinker_cookbook.preference import train_dpo
    from tinker_cookbook.preference.dpo_datasets import DPODatasetBuilderFromComparisons
    from tinker_cookbook.preference.preference_datasets import ComparisonBuilderFromJsonl
    from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig

    file = tmp_path / "comparisons.jsonl"
    rows = [
        {
            "comparison": {
                "prompt_conversation": [{"role": "user", "content": f"hello {i}"}],
                "completion_A": [{"role": "assistant", "content": "good morning to you"}],
                "completion_B": [{"role": "assistant", "content": "go away, I am busy"}],
            },
            "label": "A",
        }
        for i in range(16)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    config = train_dpo.Config(
        log_path=str(tmp_path / "log"),
        model_name=str(tiny),
        recipe_name="engine-test",
        renderer_name="role_colon",
        dataset_builder=DPODatasetBuilderFromComparisons(
            common_config=ChatDatasetBuilderCommonConfig(
                model_name_for_tokenizer=str(tiny),
                renderer_name="role_colon",
                max_length=128,
                batch_size=8,
            ),
            comparison_builder=ComparisonBuilderFromJsonl(train_path=str(file)),
        ),
        learning_rate=0.003,
        num_epochs=2,
        lora_rank=8,
        dpo_beta=0.1,
        eval_every=0,
        infrequent_eval_every=0,
        save_every=0,
        reference_model_name=None,
    )
    train_dpo.main(config)
    found = [m for m in metrics_of(tmp_path / "log") if "dpo_loss" in m]
    assert len(found) == 4
    assert found[0]["dpo_loss"] == pytest.approx(0.6931, abs=1e-3)
    assert found[-1]["dpo_loss"] < 0.6
    assert found[-1]["margin"] > 0
