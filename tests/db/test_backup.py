"""Backups, restores and the doctor."""

import json
import sqlite3
from pathlib import Path

import filling
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, doctor, export_adapters, exporting
from db.backup import back_up, put_back
from db.errors import LedgerError, Refused
from db.session import close_database, open_database, sessions, sqlite_file

Make = sessionmaker[Session]


@pytest.fixture
def full(url: str) -> str:
    """A ledger with judgments, a run and an adapter that points at it."""
    make = sessions(url)
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=3)
        ann = filling.somebody(session).id
        for _ in range(2):
            filling.judge_next(session, ann)
    with open_database(url).begin() as connection:
        connection.execute(
            text(
                "INSERT INTO run (id, kind, persona_slug, reference_id, config, state, folder,"
                " started_at) VALUES (5, 'retrain', :p, :a, '{}', 'running', '', :now)"
            ),
            {"p": filling.PERSONA, "a": f"{filling.PERSONA}-old", "now": "2026-01-01 00:00:00"},
        )
        connection.execute(text("UPDATE adapter SET run_id = 5 WHERE id LIKE '%-new'"))
    return url


def rows(url: str) -> list[dict]:
    with sessions(url)() as session:
        return [*exporting.judgment_rows(session), *export_adapters.adapter_rows(session)]


def name(url: str, plain: str = "backup.db") -> str:
    return plain if url.startswith("sqlite") else "backup.jsonl.gz"


def test_a_backup_put_back_is_the_same_ledger(full: str, tmp_path: Path) -> None:
    file = tmp_path / name(full)
    done = back_up(full, file)
    assert done.judgments == 2 and file.with_name(file.name + ".sha256").is_file()
    assert file.stat().st_mode & 0o077 == 0
    before = rows(full)
    with sessions(full).begin() as session:
        filling.judge_next(session, 1)
    assert rows(full) != before
    with pytest.raises(Refused, match="holds 3 judgments; give --force"):
        put_back(full, file)
    restored = put_back(full, file, force=True)
    assert restored.judgments == 2 and restored.aside
    assert rows(full) == before
    with sessions(full).begin() as session:  # ids go on, and the ledger can be written
        assert filling.judge_next(session, 1) is not None
    assert [each.text for each in doctor.examine(full) if not each.ok] == []


def test_a_logical_dump_moves_between_databases(full: str, another: str, tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    back_up(full, file)
    for target in (another, f"sqlite:///{tmp_path / 'moved.db'}"):
        assert put_back(target, file).judgments == 2
        assert rows(target) == rows(full)
        close_database(target)


def test_a_damaged_backup_is_refused_before_anything_is_touched(full: str, tmp_path: Path) -> None:
    file = tmp_path / name(full)
    back_up(full, file)
    before = rows(full)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(LedgerError, match="does not match its checksum"):
        put_back(full, file, force=True)
    file.with_name(file.name + ".sha256").unlink()
    with pytest.raises(LedgerError):
        put_back(full, file, force=True)
    assert rows(full) == before


def test_a_cut_dump_is_refused(full: str, tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    back_up(full, file)
    file.with_name(file.name + ".sha256").unlink()
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    before = rows(full)
    with pytest.raises(LedgerError, match="is cut off"):
        put_back(full, file, force=True)
    file.write_text('{"something": "else"}\n')
    with pytest.raises(LedgerError, match="is not a ledger's backup"):
        put_back(full, file, force=True)
    assert rows(full) == before


def test_a_ledger_in_use_is_not_replaced(sqlite_url: str, tmp_path: Path) -> None:
    with sessions(sqlite_url).begin() as session:
        filling.persona(session)
    file = tmp_path / "backup.db"
    back_up(sqlite_url, file)
    used = sqlite3.connect(sqlite_file(sqlite_url))
    used.execute("SELECT count(*) FROM persona").fetchall()
    try:
        with pytest.raises(Refused, match="is in use"):
            put_back(sqlite_url, file, force=True)
    finally:
        used.close()
    assert put_back(sqlite_url, file, force=True).aside


def test_a_backup_while_somebody_writes_is_one_moment(sqlite_url: str, tmp_path: Path) -> None:
    with sessions(sqlite_url).begin() as session:
        filling.somebody(session)
    with sessions(sqlite_url).begin() as session:
        filling.somebody(session, "not yet there")
        back_up(sqlite_url, tmp_path / "backup.db")
    with sqlite3.connect(tmp_path / "backup.db") as copy:
        assert copy.execute("SELECT name FROM annotator").fetchall() == [("ann",)]


def test_there_must_be_a_ledger_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger at"):
        back_up(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "b.db")


def test_the_doctor_finds_what_is_wrong(
    full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    folder = tmp_path / "lora" / filling.PERSONA / "made"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    sha = "d6ab1bcd8f4c0a5bf7ed5ef6f1b8e0fbaf5c5e8b4a7a0d0a5d3bd8ad2d30bd3d"
    (folder / "adapter.json").write_text(
        json.dumps({"id": "made", "files": {"adapter_model.safetensors": sha}})
    )
    engine = tmp_path / "engine" / "engine.json"
    engine.parent.mkdir()
    engine.write_text("{}")
    engine.chmod(0o644)
    with sessions(full).begin() as session:
        path = f"outputs/lora/{filling.PERSONA}/made"
        adapters.put_adapter(session, id="made", kind="dpo", persona=filling.PERSONA, path=path)
    with open_database(full).begin() as connection:
        connection.execute(text("UPDATE comparison SET seats = 0"))
        connection.execute(text("UPDATE assignment SET state = 'released', seat = false"))
        postgres = connection.dialect.name == "postgresql"
        on = " ON judgment" if postgres else ""
        which = "judgment_no_change" if postgres else "judgment_no_update"
        connection.execute(text(f"DROP TRIGGER {which}{on}"))
        if not postgres:
            connection.execute(text("DROP TRIGGER judgment_no_delete"))
    bad = " | ".join(each.text for each in doctor.examine(full) if not each.ok)
    for expected in (
        "seats do not match",
        "state and judgment disagree",
        "no longer append-only: judgment",
        "adapter_model.safetensors was altered",
        "engine.json is readable by others",
    ):
        assert expected in bad


def test_the_doctor_of_no_ledger_says_how_to_make_one(tmp_path: Path) -> None:
    (only,) = doctor.examine(f"sqlite:///{tmp_path / 'none.db'}")
    assert not only.ok and "personaloop init" in only.text
    assert not (tmp_path / "none.db").exists()
