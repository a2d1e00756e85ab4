"""A tiny model on a real engine, a fresh ledger, and one supervised adapter that answers."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from training.engine.settings import EngineSettings, prepare_process

prepare_process()
os.environ["TINKER_TELEMETRY"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).parent / "engine"))
sys.path.insert(0, str(Path(__file__).parent))

from workbench import PERSONA, STARTER, Workshop, make_starter  # noqa: E402


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """One engine on the tiny model for every test, with a supervised adapter in its folder."""
    from serving import engine_in_thread
    from tiny import make_tiny

    outputs = tmp_path_factory.mktemp("outputs")
    before = os.environ.get("PERSONALOOP_OUTPUTS")
    os.environ["PERSONALOOP_OUTPUTS"] = str(outputs)
    settings = EngineSettings(
        base_model=make_tiny(tmp_path_factory.mktemp("base") / "tiny"),
        state_dir=outputs / "engine",
        adapters=(outputs / "lora",),
    )
    with engine_in_thread(settings) as running:
        made = Workshop(outputs, settings, running.url)
        make_starter(made)
        yield made
    if before is None:
        del os.environ["PERSONALOOP_OUTPUTS"]
    else:
        os.environ["PERSONALOOP_OUTPUTS"] = before


@pytest.fixture
def service(workshop):
    return workshop.service()


@pytest.fixture
def ledger(workshop, tmp_path):
    """Sessions of a fresh ledger with one persona, prompts of both splits and the starter."""
    yield from fresh_ledger(workshop, f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))]
)
def either(request, workshop, tmp_path):
    """The same on each database."""
    if request.param == "sqlite":
        yield from fresh_ledger(workshop, f"sqlite:///{tmp_path / 'ledger.db'}")
        return
    from tests.proof.postgres import postgres_server

    with postgres_server() as url:
        yield from fresh_ledger(workshop, url)


def fresh_ledger(workshop, url):
    """Sessions of an empty database that now holds what every test starts from."""
    from db import adapters, personas, prompts
    from db.session import close_database, sessions, upgrade
    from training.adapters import find_adapter, portable, read_card

    # What an earlier test trained would be found again, and nothing would be left to kill.
    shutil.rmtree(workshop.outputs / "runs", ignore_errors=True)
    for made in (workshop.outputs / "lora" / PERSONA).iterdir():
        if made.name != STARTER:
            shutil.rmtree(made)
    upgrade(url)
    make = sessions(url)
    folder = find_adapter(PERSONA, STARTER)
    card = read_card(folder)
    with make.begin() as session:
        personas.put_persona(
            session, slug=PERSONA, name="Pip", summary="", template_sha256="", front_matter={}
        )
        for number in range(30):
            prompts.put_prompt(session, [{"role": "user", "content": f"ask {number}"}])
        for number in range(10):
            prompts.put_prompt(
                session, [{"role": "user", "content": f"held {number}"}], split="heldout"
            )
        adapters.put_adapter(
            session,
            id=card.id,
            kind="sft",
            persona=PERSONA,
            base_model=card.base_model,
            base_model_sha256=card.base_model_sha256,
            path=portable(folder),
            sha256=card.sha256,
        )
        adapters.promote(session, PERSONA, card.id, reason="shipped", actor="test")
    yield make
    close_database(url)
