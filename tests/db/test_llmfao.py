"""The LLMFAO files as they were published (CC BY 4.0, Dmitry Ustalov), read into a ledger."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from db import importing, labeling, people
from db.models import AnnotatorKind, Comparison, Judgment
from db.report_command import report
from db.session import close_database, sessions

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "llmfao"

pytestmark = [
    pytest.mark.skipif(not REAL.is_dir(), reason=f"the judgments of {REAL} are not here"),
    pytest.mark.xdist_group("llmfao"),
]


@pytest.fixture(scope="module")
def imported(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of the pairs with their texts, the crowd's judgments and GPT-4's."""
    path = tmp_path_factory.mktemp("llmfao") / "ledger.db"
    url = f"sqlite:///{shutil.copy(sqlite_template, path)}"
    with sessions(url).begin() as session:
        pairs = importing.import_comparisons(session, REAL / "llmfao_pairs_text.jsonl.gz")
        assert pairs.added == 2_139
        crowd = importing.import_judgments(session, REAL / "llmfao_crowd.csv.gz")
        assert crowd.added == 8_931
        importing.import_judgments(
            session,
            REAL / "llmfao_gpt4_judge.csv.gz",
            annotator="gpt-4",
            kind=AnnotatorKind.AUTOMATIC,
        )
    close_database(url)
    return path


@pytest.fixture
def read(imported: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a copy of it."""
    url = f"sqlite:///{shutil.copy(imported, tmp_path / 'ledger.db')}"
    yield url
    close_database(url)


def test_pairs_judgments_and_an_automatic_judge_come_in_once(read: str) -> None:
    with sessions(read).begin() as session:
        again = importing.import_judgments(session, REAL / "llmfao_crowd.csv.gz")
        assert (again.added, again.known) == (0, 8_931)
        hidden = select(func.count()).where(Comparison.overlap == 0)
        assert session.scalar(hidden) == 289  # one of their texts is empty
        assert (session.scalar(select(func.count(Judgment.id))) or 0) > 8_931


def test_a_real_pair_is_shown_and_judged(read: str) -> None:
    with sessions(read).begin() as session:
        ann = people.put_annotator(session, "ann")
        shown = labeling.claim(session, ann.id)
        assert shown is not None
        assert shown.response_a.strip() and shown.response_b.strip()
        labeling.judge(session, shown.token, ann.id, "a", min_dwell=False)
        following = labeling.claim(session, ann.id)
        assert following is not None and following.comparison_id != shown.comparison_id


def test_the_report_ranks_59_models_by_people_and_says_how_far_gpt_4_agrees(read: str) -> None:
    done = CliRunner().invoke(report, ["--format", "json", "--database-url", read])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert len(told["items"]) == 59
    ratings = [item["rating"] for item in told["items"]]
    assert ratings == sorted(ratings, reverse=True)
    assert all(item["ci_low"] < item["rating"] < item["ci_high"] for item in told["items"])
    judge = told["agreement"]["automatic"]
    assert 0 < judge["ci_low"] < judge["value"] < judge["ci_high"] < 0.6
