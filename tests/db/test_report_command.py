"""`personaloop report`, as it is called."""

import json

import pytest
from click.testing import CliRunner

from db.errors import LedgerError
from db.report_command import report


@pytest.fixture
def judgments(tmp_path):
    path = tmp_path / "j.csv"
    lines = ["item_a,item_b,verdict,annotator,persona"]
    for i in range(60):
        verdict = ("a", "a", "b", "tie", "both_bad")[i % 5]
        lines.append(f"new,old,{verdict},p{i % 7},{'one' if i % 2 else 'two'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(*arguments):
    return CliRunner().invoke(report, [str(a) for a in arguments])


def test_json_is_strict_and_has_the_promised_fields(judgments):
    result = run("--csv", judgments, "--format", "json")
    assert result.exit_code == 0
    out = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))
    assert [i["item"] for i in out["items"]] == ["new", "old"]
    assert out["n_judgments"] == 60
    assert out["both_bad"]["count"] == 12
    assert out["settings"]["clusters"] == {"annotator": 7}


@pytest.mark.parametrize("form", ["table", "markdown", "html"])
def test_every_format_names_the_leader_first(judgments, form):
    result = run("--csv", judgments, "--format", form)
    assert result.exit_code == 0
    assert "new is ahead of old" in result.stdout or "cannot be told apart" in result.stdout


def test_output_is_written_whole_and_the_terminal_stays_clean(judgments, tmp_path):
    target = tmp_path / "report.html"
    result = run("--csv", judgments, "--format", "html", "--output", target)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["j.csv", "report.html"]


def test_a_persona_is_chosen_and_an_unknown_one_refused(judgments):
    result = run("--csv", judgments, "--format", "json", "--persona", "one")
    assert json.loads(result.stdout)["n_judgments"] == 30
    refused = run("--csv", judgments, "--persona", "three")
    assert isinstance(refused.exception, LedgerError)
    assert "found one, two" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prior", "flat"], "prior 'flat' is unknown"),
        (["--output", "/nowhere/r.html"], "/nowhere/r.html: cannot be written"),
    ],
)
def test_refusals_are_one_line_of_the_rooms_error(judgments, arguments, words):
    result = run("--csv", judgments, *arguments)
    assert isinstance(result.exception, LedgerError)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize(
    "arguments", [["--ties", "quarter"], ["--ci", "95"], ["--csv", "x", "--round", "1"]]
)
def test_wrong_usage_exits_2(arguments):
    assert run(*arguments).exit_code == 2
