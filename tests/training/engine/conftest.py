"""One tiny model and one running engine for all of the engine's tests."""

import logging
import os
import sys
from pathlib import Path

import pytest

from training.engine.settings import EngineSettings, prepare_process

prepare_process()
os.environ["TINKER_TELEMETRY"] = "0"
# Clients of engines that a test killed go on knocking until the process ends.
logging.getLogger("tinker").setLevel(logging.CRITICAL)
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    from tiny import make_tiny

    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def base(tiny):
    from training.engine.compute.base import BaseModel

    return BaseModel(tiny)


@pytest.fixture(scope="session")
def adapters_root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="session")
def running(tiny, tmp_path_factory, adapters_root):
    from serving import engine_in_thread

    settings = EngineSettings(
        base_model=tiny,
        state_dir=tmp_path_factory.mktemp("state"),
        adapters=(adapters_root,),
    )
    with engine_in_thread(settings) as running:
        yield running


@pytest.fixture(scope="session")
def client(running):
    return running.client()


@pytest.fixture(scope="session")
def tokenizer(tiny):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)
