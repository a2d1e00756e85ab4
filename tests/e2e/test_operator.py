"""The operator's way in a real browser, on the real ledger, worker and engine.

Pairs are made, judged, an adapter is trained, judged blind by keyboard against the old one,
promoted by the gate, and rolled back. Nothing is simulated or stubbed; only the batches are small.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import func, select

from db import labeling, people
from db.adapters import incumbent
from db.models import Assignment, Batch, Candidate, Comparison
from db.sample import load_adapters, load_sample
from db.session import close_database, readers, sessions, upgrade
from tests.e2e.labeling import next_pair, ready, status
from tests.e2e.serving import REPOSITORY, Served, free_port, launch, wait_until_up

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("operator")]

PERSONA, SHIPPED = "playful_sidekick", "playful_sidekick-sft-v1"
WORK = """
from dataclasses import replace
import logging
logging.basicConfig(level=logging.INFO)
from db.session import sessions
from training.candidates import CandidateConfig
from training.configs import CONFIGS, load_config
from training.evaluation.gate_config import GateConfig
from training.jobs import Worker
small = replace(load_config(CandidateConfig, CONFIGS / "candidates.yaml"),
                label_comparisons=96, blind_comparisons=24)
worker = Worker(sessions(), candidates=small, gate=GateConfig(fewest_judgments=24))
worker.stop_on_signals()
worker.work(poll_seconds=0.5)
"""
BY_KEYBOARD = 3
MINUTES_TO_TRAIN = 9
PATIENCE_MS = 60_000


@dataclass
class Place:
    """A served ledger with a worker."""

    served: Served
    worker: subprocess.Popen[bytes]
    chromium: Any

    def sign_in(self, name: str, role: str) -> Any:
        """A page of this person's own browser."""
        context = self.chromium.new_context(
            viewport={"width": 1280, "height": 900}, color_scheme="light"
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(self.served.invite(name, role))
        return page


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Place]:
    """A fresh ledger with the shipped material, served, with engine and worker at hand."""
    shipped = _shipped_adapter()
    if shipped is None:
        pytest.skip("the supervised adapters are not here: `personaloop data adapters` makes them")
    outputs = tmp_path_factory.mktemp("operator") / "outputs"
    database = f"sqlite:///{outputs / 'personaloop.db'}"
    upgrade(database)
    with sessions(database).begin() as session:
        load_sample(session)
        if shipped.is_relative_to(REPOSITORY):
            assert incumbent(session, PERSONA).id == SHIPPED
        else:
            own = outputs / "lora"
            shutil.copytree(shipped, own / PERSONA / SHIPPED)
            load_adapters(session, own)
    port = free_port()
    env = {key: value for key, value in os.environ.items() if key != "TINKER_API_KEY"}
    env |= {
        "PERSONALOOP_OUTPUTS": str(outputs),
        "DATABASE_URL": database,
        "GOMP_SPINCOUNT": "0",
        "OMP_WAIT_POLICY": "passive",
    }
    served = Served(f"http://127.0.0.1:{port}", port, database, outputs, env, launch(port, env))
    log = (outputs / "worker.log").open("wb")
    worker = subprocess.Popen(
        [sys.executable, "-c", WORK], env=env, cwd=REPOSITORY, stdout=log, stderr=log
    )
    try:
        wait_until_up(served)
        yield Place(served, worker, chromium)
    finally:
        for process in (worker, served.process):
            process.terminate()
        for process in (worker, served.process):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
        _end_engine(outputs)
        close_database(database)


def _shipped_adapter() -> Path | None:
    from training.adapters import find_adapter
    from training.errors import AdapterMissing

    try:
        return find_adapter(PERSONA, SHIPPED)
    except AdapterMissing:
        return None


def _end_engine(outputs: Path) -> None:
    """End the engine that the worker started for this ledger, by its own process id."""
    import json
    import signal

    with contextlib.suppress(OSError, ValueError, KeyError):
        told = json.loads((outputs / "engine" / "engine.json").read_text())
        os.kill(int(told["pid"]), signal.SIGTERM)


def go(page: Any, served: Served, name: str, title: str) -> None:
    """Open one of the pages and wait for its title."""
    page.goto(f"{served.url}/{name}")
    heading = page.get_by_role("heading", name=title, exact=True)
    expect(heading).to_be_visible(timeout=PATIENCE_MS)


def picture(page: Any, path: Path) -> None:
    """A screenshot once a chart is drawn."""
    page.get_by_test_id("stVegaLiteChart").locator("canvas,svg").first.wait_for()
    page.locator('[data-test-script-state="notRunning"]').first.wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=path)


def judge_by_verbs(database: str, name: str) -> int:
    """Judge everything that is open, for the livelier text; the number of judgments."""
    with sessions(database).begin() as session:
        who = people.put_annotator(session, name).id
    done = 0
    while True:
        with sessions(database).begin() as session:
            shown = labeling.claim(session, who)
            if shown is None:
                return done
            lively = [
                text.count("!") - len(text) / 400 for text in (shown.response_a, shown.response_b)
            ]
            verdict = "a" if lively[0] >= lively[1] else "b"
            labeling.judge(session, shown.token, who, verdict, strength=1, min_dwell=False)
        done += 1


def side_of(database: str, token: str, adapter_id: str) -> str:
    """Which response, as shown under this token, an adapter wrote: ``A`` or ``B``."""
    with readers(database)() as session:
        assignment = session.scalars(select(Assignment).where(Assignment.token == token)).one()
        comparison = session.get_one(Comparison, assignment.comparison_id)
        a = session.get_one(Candidate, comparison.candidate_a_id).adapter_id
    first = a == adapter_id
    return "A" if first == (assignment.placement > 0) else "B"


def answering(database: str) -> str:
    """What answers for the persona now."""
    with readers(database)() as session:
        return incumbent(session, PERSONA).id


def wait_for(what: Any, seconds: float, place: Place) -> Any:
    """Poll until ``what()`` is truthy; the worker has to stay alive meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        assert place.worker.poll() is None, (place.served.outputs / "worker.log").read_text()[
            -3000:
        ]
        time.sleep(0.5)
    raise AssertionError((place.served.outputs / "worker.log").read_text()[-3000:])


def test_the_whole_round_from_pairs_to_rollback(place: Place, screenshots: Path) -> None:
    served, database = place.served, place.served.database
    operator = place.sign_in("Olga", "admin")
    analyst = place.sign_in("Anna", "analyst")
    evaluator = place.sign_in("Eva", "evaluator")

    # nothing judged yet, and the pages say so
    go(analyst, served, "overview", "Overview")
    expect(analyst.get_by_role("heading", name="No judgments yet")).to_be_visible(
        timeout=PATIENCE_MS
    )

    # the operator asks for pairs; the real worker has the real engine write them
    go(operator, served, "training", "Training")
    operator.get_by_role("button", name="Make pairs to judge").nth(2).click()
    wait_for(lambda: _label_batch(database), 240, place)

    # three judgments by keyboard; the analyst's open page follows by itself
    evaluator.goto(f"{served.url}/label")
    token = ready(evaluator)
    for _ in range(BY_KEYBOARD):
        ready(evaluator)
        evaluator.keyboard.press("2")
        token = next_pair(evaluator, token)
    expect(analyst.get_by_text(re.compile(rf"^{BY_KEYBOARD} judgments"))).to_be_visible(
        timeout=PATIENCE_MS
    )
    evaluator.goto(f"{served.url}/my_history")
    judge_by_verbs(database, "Lena")

    # retrain: a job, its progress, its curves, its end
    go(operator, served, "training", "Training")
    operator.get_by_role("button", name="Retrain Playful Sidekick").click()
    expect(operator.get_by_text(re.compile("Playful Sidekick is being retrained"))).to_be_visible(
        timeout=90_000
    )
    expect(
        operator.get_by_text(re.compile("^(Loss|Held-out loss) (fell|rose|stayed)"))
    ).to_be_visible(timeout=MINUTES_TO_TRAIN * 60_000)
    picture(operator, screenshots / "training-live.png")
    expect(
        operator.get_by_text(re.compile(r"\d+ blind comparisons with .* decide on it"))
    ).to_be_visible(timeout=MINUTES_TO_TRAIN * 60_000)

    # the blind comparison, judged by keyboard, always for the new one
    challenger = _challenger(database)
    judged = judge_blind_by_keyboard(evaluator, served, challenger)
    assert judged >= 10  # pairs that came out alike are not asked; fewer wins would not be enough

    # the analyst reads the finding with its interval
    go(analyst, served, "overview", "Overview")
    expect(
        analyst.get_by_role("heading", name=re.compile("Round 1 beats the start for"))
    ).to_be_visible(timeout=PATIENCE_MS)
    picture(analyst, screenshots / "overview.png")

    # the gate promotes by itself
    wait_for(lambda: answering(database) == challenger, 60, place)
    go(operator, served, "adapters", "Adapters")
    expect(operator.get_by_text("round 1 answers")).to_be_visible(timeout=PATIENCE_MS)
    picture(operator, screenshots / "adapters.png")
    operator.get_by_role("button", name="Verify files").first.click()
    expect(operator.get_by_text(f"{challenger} is as it was written")).to_be_visible(
        timeout=PATIENCE_MS
    )

    # and the operator rolls back, after a question
    operator.get_by_role("button", name="Roll back …").first.click()
    operator.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(operator.get_by_text(f"answers with {SHIPPED} again")).to_be_visible(timeout=PATIENCE_MS)
    wait_for(lambda: answering(database) == SHIPPED, 60, place)

    # the lineage tells it all
    go(analyst, served, "rounds", "Rounds and lineage")
    expect(analyst.get_by_text(challenger).first).to_be_visible(timeout=PATIENCE_MS)
    expect(analyst.get_by_text(re.compile("promoted$")).first).to_be_visible(timeout=PATIENCE_MS)
    expect(analyst.get_by_text("All of it is Eva's view").first).to_be_visible(timeout=PATIENCE_MS)
    picture(analyst, screenshots / "rounds.png")
    go(analyst, served, f"lineage?adapter={challenger}", "Lineage")
    expect(analyst.get_by_text("The pairs behind it")).to_be_visible(timeout=PATIENCE_MS)
    cards = analyst.locator(".pl-tree-card")
    expect(cards).to_have_count(3)  # the challenger, the shipped one, the base model
    analyst.screenshot(path=screenshots / "lineage.png")
    cards.nth(0).get_by_role("link", name="the start").first.click()
    expect(analyst.get_by_text("was made without judgments of its own")).to_be_visible(
        timeout=PATIENCE_MS
    )


def _label_batch(database: str) -> bool:
    with readers(database)() as session:
        return session.scalar(select(Comparison.id).limit(1)) is not None


def _challenger(database: str) -> str:
    from db.rounds import rounds

    with readers(database)() as session:
        found = rounds(session, PERSONA)[-1].challenger_id
    assert found is not None
    return found


def judge_blind_by_keyboard(page: Any, served: Served, challenger: str) -> int:
    """Judge pair after pair for the challenger until none is left; the number of judgments."""
    page.goto(f"{served.url}/label")
    done = 0
    token = ready(page)
    while True:
        page.keyboard.press("1" if side_of(served.database, token, challenger) == "A" else "5")
        done += 1
        expect(status(page)).to_have_text("Saved", timeout=PATIENCE_MS)
        if not _seats_left(served.database):
            return done
        next_pair(page, token)
        token = ready(page)


def _seats_left(database: str) -> int:
    """Blind judgments that nobody holds or gave yet."""
    query = (
        select(func.coalesce(func.sum(Comparison.seats), 0))
        .join(Batch, Batch.id == Comparison.batch_id)
        .where(Batch.kind == "blind")
    )
    with readers(database)() as session:
        held = select(func.count()).select_from(Assignment).where(Assignment.state == "leased")
        return int(session.scalar(query) or 0) + int(session.scalar(held) or 0)
