"""Fixtures of the browser tests: a Chromium and a served ledger a module, a context a person."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import REPOSITORY, Served, serving

CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")  # while Playwright is up, no other test's event loop can run
def chromium() -> Iterator[Any]:
    if os.environ.get("CI"):
        import playwright.sync_api  # missing in CI is a failure, not a skip
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    playwright.expect.set_options(timeout=30_000)  # machines that run these tests may be busy
    with playwright.sync_playwright() as started:
        own = Path(started.chromium.executable_path)
        path = shutil.which("chromium") or (str(own) if own.exists() else None)
        if path is None:
            missing = "no Chromium here: install Debian's chromium or `playwright install chromium`"
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)
        browser = started.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def sign_in(chromium: Any, served: Served) -> Iterator[Callable[..., Any]]:
    """``sign_in(name, role="evaluator", **context)`` gives a page signed in by a fresh invite."""
    contexts: list[Any] = []

    def enter(name: str, role: str = "evaluator", **options: Any) -> Any:
        context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **options}
        )
        context.set_default_timeout(45_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(served.invite(name, role))
        return page

    yield enter
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where screenshots are kept: outputs/screenshots/ of the repository."""
    outputs = Path(os.environ.get("PERSONALOOP_OUTPUTS") or REPOSITORY / "outputs")
    folder = outputs / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
