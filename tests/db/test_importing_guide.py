"""docs/importing.md: every file and every command that it shows works as shown, in their order."""

import re
import shlex
from pathlib import Path

import filling
import pytest
from click.testing import CliRunner

from db.exporting import JUDGMENT_COLUMNS
from db.session import sessions
from personaloop import personaloop

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
LLMFAO = ROOT.parent / "shared" / "data" / "llmfao"
BLOCK = re.compile(r"^```(\w+)(?: (\w+)=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, ...]]:
    """Language, option, value and content of each block that is marked or holds commands."""
    return BLOCK.findall(GUIDE)


def run(line: str, url: str) -> None:
    program, *words = shlex.split(line)
    assert program == "personaloop", line
    done = CliRunner().invoke(personaloop, words, env={"DATABASE_URL": url}, catch_exceptions=False)
    assert done.exit_code == 0, f"{line}: {done.output}"


def test_every_command_of_the_guide_runs_on_the_files_that_it_shows(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with sessions(sqlite_url).begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=3)
        filling.judge_next(session, filling.somebody(session, "first").id)
    ran: list[str] = []
    for language, option, value, content in blocks():
        if option == "file":
            Path(value).write_text(content, encoding="utf-8")
        elif language == "sh" and not option:
            for line in content.splitlines():
                run(line, sqlite_url)
                ran.append(" ".join(line.split()[1:3]))
    assert {"import prompts", "import comparisons", "import judgments", "import skips",
            "export judgments", "export skips", "export pairs"} <= set(ran)  # fmt: skip
    shown = re.findall(r"`personaloop \w+[^`\n]*`|^personaloop .*$", GUIDE, re.MULTILINE)
    assert len([each for each in shown if not each.startswith("`")]) == len(ran) + 4


@pytest.mark.skipif(not LLMFAO.is_dir(), reason=f"the judgments of {LLMFAO} are not here")
def test_the_commands_for_llmfao_run_on_its_files(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(LLMFAO)
    (content,) = [content for _, option, _, content in blocks() if option == "needs"]
    for line in content.splitlines():
        run(line, sqlite_url)


def test_every_column_of_an_export_is_explained() -> None:
    table = GUIDE[GUIDE.index("| columns | say |") : GUIDE.index("Skips have rows of their own")]
    told = re.findall(r"`(\w+?)(_…)?`", table)
    whole = {name for name, more in told if not more}
    parts = {f"{name}_{side}" for name, more in told if more for side in "ab"}
    assert whole | parts == set(JUDGMENT_COLUMNS)
