"""The ledger's commands as a person types them."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from db import audit, passwords, people
from db.errors import PersonaLoopError, Refused
from db.session import close_database, sessions
from personaloop import personaloop

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs `personaloop …` on a ledger of its own, in this process."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))

    def invoke(*words: str, said: str = "") -> Result:
        return CliRunner().invoke(personaloop, list(words), input=said, prog_name="personaloop")

    yield invoke
    close_database(url)


def test_init_loads_what_ships_and_can_be_repeated(run) -> None:
    for _ in range(2):
        done = run("init", "--sample")
        assert done.exit_code == 0, done.output
        assert "4 personas" in done.output


def test_an_invitation_points_where_the_app_was_last_served(run, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("PERSONALOOP_URL", raising=False)
    assert run("users", "invite", "--name", "Ann").output.startswith("http://127.0.0.1:8501/")
    (tmp_path / "app-url").write_text("http://127.0.0.1:8741", encoding="utf-8")
    assert run("users", "invite", "--name", "Ann").output.startswith("http://127.0.0.1:8741/")


def test_an_invited_person_gets_a_link_that_works_once(run) -> None:
    done = run("users", "invite", "--name", "Ann", "--role", "admin", "--base-url", "https://x/")
    address, token = done.output.strip().rsplit("/", 1)
    assert (done.exit_code, address) == (0, "https://x/invite")
    with sessions().begin() as session:
        assert people.who(session, people.redeem(session, token)).name == "Ann"
    assert run("users", "invite", "--name", "Ann").exit_code == 0
    assert "Ann  admin" in run("users", "list").output  # invited again, not demoted
    assert run("users", "role", "Ann", "analyst").exit_code == 0
    assert run("users", "deactivate", "Ann").exit_code == 0
    with sessions().begin() as session:
        people.put_annotator(session, "robot", kind="simulated")
    listed = run("users", "list").output
    assert "Ann  analyst    human      off" in listed and "robot" not in listed
    assert "robot" in run("users", "list", "--all").output
    assert isinstance(run("users", "activate", "Bob").exception, PersonaLoopError)


def test_a_password_is_set_from_a_script_or_the_terminal_and_shown_nowhere(run) -> None:
    good = "four plain green words"
    run("users", "invite", "--name", "Ann")
    done = run("users", "password", "Ann", "--stdin", said=f"{good}\n")
    assert (done.exit_code, good in done.output) == (0, False)
    with sessions()() as session:
        assert passwords.check(session, "Ann", good).active
    done = run("users", "password", "Ann", said=f"{good}!\n{good}!\n")
    assert (done.exit_code, good in done.output) == (0, False)
    with sessions()() as session:
        assert passwords.check(session, "Ann", f"{good}!").active
        acts = [entry.act for entry in audit.entries(session)]
    assert acts == ["set password", "set password", "invite"]
    for name, said in (("Ann", "short\n"), ("Bob", good), ("Ann", "")):
        assert isinstance(
            run("users", "password", name, "--stdin", said=said).exception, PersonaLoopError
        )


def test_links_are_listed_and_taken_back_and_accounts_linked(run) -> None:
    link = run("users", "invite", "--name", "Ann").output.strip()
    listed = run("users", "invites").output
    number = listed.split()[0]
    assert "Ann" in listed and "evaluator" in listed
    assert run("users", "list").output.rstrip().endswith("link")
    assert "link 1 for Ann" in run("users", "revoke", number).output
    assert "no link waits" in run("users", "invites").output
    assert run("users", "list").output.rstrip().endswith("new link needed")
    with sessions().begin() as session, pytest.raises(Refused, match="taken back"):
        people.redeem(session, link.rsplit("/", 1)[1])
    issuer = ("--issuer", "https://id.example.org")
    assert run("users", "link", "Ann", *issuer, "--subject", "s-1").exit_code == 0
    assert run("users", "list").output.rstrip().endswith("id.example.org")
    assert isinstance(run("users", "link", "Ann", *issuer).exception, Refused)
    assert "1 unlinked" in run("users", "unlink", "Ann").output
    assert isinstance(run("users", "unlink", "Ann").exception, Refused)
    assert "0 browsers were signed out" in run("users", "sign-out", "Ann").output


def test_a_file_goes_in_and_out(run, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("item_a,item_b,verdict\nx,y,a\n")
    assert "1 judgments added" in run("import", "judgments", str(file)).output
    assert "0 judgments added, 1 known" in run("import", "judgments", str(file)).output
    out = tmp_path / "out.csv"
    assert "1 judgments" in run("export", "judgments", "--output", str(out)).output
    assert out.read_text().startswith("item_a,item_b,verdict")
    assert '"item_a": "x"' in run("export", "judgments").output
    assert "left out: 1 without texts" in run("export", "pairs", "--format", "trl").output
    assert run("export", "adapters", "--format", "csv").output.count("external") == 2
    wrong = run("export", "pairs", "--format", "trl", "--output", str(out)).exception
    assert "trl has lists, which CSV does not; use .jsonl" in str(wrong)
    for words in (["export", "pairs"], ["export", "adapters"], ["report"]):
        assert "there is no persona 'nobody'" in str(run(*words, "--persona", "nobody").exception)


def test_a_dry_run_counts_and_lists_problems_and_writes_nothing(run, tmp_path: Path) -> None:
    run("init")
    file = tmp_path / "in.csv"
    file.write_text("item_a,item_b,verdict\nx,y,a\n")
    done = run("import", "judgments", str(file), "--dry-run")
    assert "1 judgments would be added; nothing was written" in done.output
    assert run("export", "judgments").output == ""
    file.write_text("item_a,item_b,verdict\nx,y,left\nx,y,a\n,y,a\n")
    wrong = run("import", "judgments", str(file), "--dry-run")
    assert "line 2: field verdict" in wrong.output and "line 4: field item_a" in wrong.output
    assert "2 rows would be refused (nothing was written)" in str(wrong.exception)
    assert run("export", "judgments").output == ""
    assert "--field side=x: write ROLE=NAME" in str(
        run("import", "judgments", str(file), "--field", "side=x").exception
    )


def test_backup_restore_and_doctor_tell_what_they_did(run, tmp_path: Path) -> None:
    run("init")
    done = run("backup", str(tmp_path / "b.db"))
    assert "0 judgments" in done.output and "sha256" in done.output
    assert "restored 0 judgments" in run("restore", str(tmp_path / "b.db")).output
    healthy = run("doctor")
    assert healthy.exit_code == 0 and "BAD" not in healthy.output
    assert run("doctor", "--migrations").exit_code == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["import", "judgments", "{tmp}/bad.csv"], 1, "bad.csv: line 2: field verdict: 'left'"),
        (["export", "judgments"], 1, "the database is empty: run `personaloop init`"),
        (["users", "role", "Ann", "king"], 2, "Invalid value"),
        (["doctor"], 1, "there is no ledger at"),
        (["--database-url"], 2, "No such option"),
        (["init", "--database-url", "nonsense"], 1, "is not a database URL"),
        (["init", "--database-url", "sqlite:///{tmp}/bad.csv"], 1, "file is not a database; start"),
        (["init", "--database-url", "postgresql://u:word@127.0.0.1:1/x"], 1, "u:***@127.0.0.1:1/x"),
    ],
)
def test_a_mistake_is_one_clear_line_and_the_right_exit_status(
    tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    (tmp_path / "bad.csv").write_text("item_a,item_b,verdict\nx,y,left\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "personaloop.py"), *[w.format(tmp=tmp_path) for w in words]],
        env={"PERSONALOOP_OUTPUTS": str(tmp_path), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = done.stderr + done.stdout
    assert done.returncode == status, told
    assert said in told and "Traceback" not in told


@pytest.mark.parametrize(
    "words",
    [
        ["init"],
        ["users", "invite"],
        ["users", "list"],
        ["backup"],
        ["restore"],
        ["doctor"],
        ["import", "judgments"],
        ["import", "prompts"],
        ["import", "comparisons"],
        ["export", "judgments"],
        ["export", "pairs"],
        ["export", "adapters"],
    ],
)
def test_every_command_helps_and_takes_a_database(words: list[str]) -> None:
    done = CliRunner().invoke(personaloop, [*words, "--help"])
    assert done.exit_code == 0 and "--database-url" in done.output
