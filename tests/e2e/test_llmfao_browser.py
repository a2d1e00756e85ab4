"""Real pairs, imported by command and judged by keyboard: the LLMFAO files (CC BY 4.0, Ustalov)."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from db.models import Annotator, Batch, Comparison, Judgment
from db.session import readers, sessions
from tests.e2e.conftest import PHONE
from tests.e2e.labeling import judgments, next_pair, ready, status
from tests.e2e.serving import REPOSITORY, Served, serving

FILES = REPOSITORY.parent / "shared" / "data" / "llmfao"
PAIRS = FILES / "llmfao_pairs_text.jsonl.gz"
LOOKED_AT = {"833": "code", "2511": "chords", "2535": "tags", "724": "tab", "2366": "long word",
             "3186": "long texts"}  # fmt: skip
"""Pairs that are hard to show, by the file's ids; asked first."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("llmfao"),
    pytest.mark.skipif(not FILES.is_dir(), reason=f"the pairs of {FILES} are not here"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("llmfao"), pairs=0) as running:
        command = ["-m", "personaloop", "import", "comparisons", str(PAIRS), "--overlap", "3"]
        done = subprocess.run(
            [sys.executable, *command], env=running.env, cwd=REPOSITORY, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "2139 comparisons added, 289 with an empty response" in done.stdout
        with sessions(running.database).begin() as session:
            for place, pair in enumerate(LOOKED_AT):
                query = select(Comparison).where(Comparison.external_id == pair)
                session.scalars(query).one().rank = place - len(LOOKED_AT)
        yield running


def published() -> dict[str, dict]:
    with gzip.open(PAIRS, "rt", encoding="utf-8") as stream:
        return {str(row["id"]): row for row in map(json.loads, stream)}


def fits(page) -> bool:
    """Whether nothing makes the page itself scroll sideways."""
    return page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")


def words_of(text: str) -> set[str]:
    """Whole words that no mark of Markdown touches."""
    return {word for word in text.split() if word.isalpha()}


def test_real_pairs_are_judged_by_keyboard_as_they_were_published(served, sign_in, screenshots):
    page = sign_in("Lena")
    rows = published()
    token = ready(page)
    pressed = []
    for (pair, name), key in zip(LOOKED_AT.items(), "153042", strict=True):
        assert ready(page) == token
        shown = [page.get_by_role("region", name=f"Response {x}").inner_text() for x in "AB"]
        expect(page.get_by_role("region", name="Conversation")).to_contain_text(
            rows[pair]["text"].split("\n")[0].strip()[:30]
        )
        told = [rows[pair][f"result_{x}"] for x in "xy"]
        assert any(
            all(
                words_of(text) <= words_of(region) for text, region in zip(told, order, strict=True)
            )
            for order in (shown, shown[::-1])
        ), name
        page.screenshot(path=screenshots / f"llmfao-{name.replace(' ', '-')}.png")
        assert fits(page), name
        if name == "code":  # what opens a block of code is told, and no line is cut off
            expect(page.locator(".pl-response pre > em").first).to_have_text("<|end|>")
            assert page.evaluate(
                "[...document.querySelectorAll('.pl-response pre')]"
                ".every(each => each.scrollWidth <= each.clientWidth + 1)"
            )
        page.keyboard.press(key)
        pressed.append((token, key))
        token = next_pair(page, token)
        expect(status(page)).to_have_text("Saved")
    said = {"1": ("a", 2), "5": ("b", 2), "3": ("tie", None), "0": ("both_bad", None),
            "4": ("b", 1), "2": ("a", 1)}  # fmt: skip
    assert judgments(served.database, "Lena") == [
        (token, *said[key], True) for token, key in pressed
    ]
    with readers(served.database)() as session:
        asked = session.scalars(
            select(Comparison.external_id)
            .join(Judgment, Judgment.comparison_id == Comparison.id)
            .join(Annotator, Annotator.id == Judgment.annotator_id)
            .join(Batch, Batch.id == Comparison.batch_id)
            .where(Annotator.name == "Lena", Batch.name == "llmfao")
            .order_by(Judgment.id)
        )
        assert list(asked) == list(LOOKED_AT)


@pytest.mark.parametrize("look", ["dark", "phone"])
def test_code_of_real_pairs_fits_in_the_dark_and_on_a_phone(sign_in, screenshots, look):
    options = {"color_scheme": "dark"} if look == "dark" else dict(PHONE)
    page = sign_in(f"In the {look}", **options)
    token = ready(page)
    for name in list(LOOKED_AT.values())[:2]:
        assert ready(page) == token
        assert fits(page), name
        page.screenshot(path=screenshots / f"llmfao-{name}-{look}.png", full_page=True)
        page.keyboard.press("2")
        token = next_pair(page, token)
