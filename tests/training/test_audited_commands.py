"""Every command of the command line either writes an audit entry, shown here, or says why not."""

import json
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import select
from workbench import PERSONA, STARTER, small_candidates, small_dpo

from db import audit, flags, labeling, people, rounds, set_aside
from db.clock import utcnow
from db.errors import PersonaLoopError
from db.models import Assignment, AuditEntry, Batch, Comparison, Invite, Judgment, RoundState
from personaloop import personaloop

READS = "reads the ledger and changes nothing of it"
NO_LEDGER = "works on files of the machine, not on the ledger"
NO_ENTRY = {
    "annotators": READS,
    "audit": READS,
    "batches list": READS,
    "flags list": READS,
    "flags adjudications": READS,
    "flags notices": READS + "; a notice put away says itself by whom and when",
    "flags set-aside list": READS,
    "jobs list": READS,
    "batches show": READS,
    "batches held": READS,
    "gold list": READS,
    "guidelines show": READS,
    "guidelines versions": READS,
    "users list": READS,
    "users invites": READS,
    "adapters list": READS,
    "adapters show": READS,
    "adapters lineage": READS,
    "rounds list": READS,
    "rounds show": READS,
    "report": READS + "; what it prints are results, no one's answers",
    "chat": READS + "; nothing of a talk is stored",
    "adapters verify": NO_LEDGER,
    "engine": NO_LEDGER,
    "data corpus": NO_LEDGER,
    "data rows": NO_LEDGER,
    "data base-model": NO_LEDGER,
    "data adapters": NO_LEDGER,
    "data check": NO_LEDGER,
    "tick": "audits every retraining that it queues and every round that it decides:"
    " tests/db/test_tick.py",
    "work": "runs jobs, each of which was audited when it was asked for; promotions that follow are"
    " written by the ledger's own verb",
}
"""Commands that write no entry, and why not."""


def _mounted(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    if path and command.invoke_without_command:
        yield " ".join(path)
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _mounted(found, (*path, name))


class Desk:
    """Runs commands on one ledger and keeps which of them wrote which act."""

    def __init__(self, make):
        self.make = make
        self.url = make.kw["bind"].url.render_as_string(hide_password=False)
        self.shown: dict[str, str] = {}

    def does(
        self,
        command: str,
        *arguments: object,
        act: str,
        typed=None,
        refused="",
        by="command line (",
    ):
        """Run a command that must write exactly this act (and perhaps others) and remember it."""
        began = utcnow()
        given = [*command.split(), *map(str, arguments), "--database-url", self.url]
        done = CliRunner().invoke(personaloop, given, input=typed)
        if refused:
            assert isinstance(done.exception, PersonaLoopError) and refused in str(done.exception)
        else:
            assert done.exit_code == 0, (command, done.output, done.exception)
        with self.make() as session:
            new = session.scalars(select(AuditEntry).where(AuditEntry.created_at >= began)).all()
        assert act in [each.act for each in new], (command, [each.act for each in new])
        entry = next(each for each in new if each.act == act)
        assert entry.actor.startswith(by), (command, entry.actor)
        self.shown[command] = act
        return entry


@pytest.fixture
def desk(ledger, workshop, monkeypatch) -> Desk:
    """Commands find the tests' engine, and the tests' ledger."""
    from training import service

    monkeypatch.setattr(service, "open_service", lambda settings=None: workshop.service())
    return Desk(ledger)


def test_every_command_writes_an_audit_entry_or_says_why_not(desk, tmp_path, monkeypatch):
    _makes_work(desk, tmp_path)
    _batches(desk)
    _people(desk)
    _answers(desk)
    _guidelines(desk, tmp_path)
    _files(desk, tmp_path)
    _training(desk, tmp_path)
    _long_ones(desk, monkeypatch)
    _whole_ledger(desk, tmp_path)

    mounted = set(_mounted(personaloop))
    silent = mounted - desk.shown.keys() - NO_ENTRY.keys()
    assert not silent, f"neither shown to write an audit entry nor listed as read-only: {silent}"
    assert not (desk.shown.keys() | NO_ENTRY.keys()) - mounted, "listed, but there is no such"
    assert not desk.shown.keys() & NO_ENTRY.keys()


def _makes_work(desk: Desk, tmp_path) -> None:
    config = tmp_path / "candidates.yaml"
    given = small_candidates().__dict__
    config.write_text("".join(f"{n}: {json.dumps(v)}\n" for n, v in given.items() if v is not None))
    desk.does("generate", "--config", config, "--prompts", 12, act="generate")


def _batches(desk: Desk) -> None:
    desk.does(
        "batches create", "more", "--persona", PERSONA, "--adapter", STARTER, act="make batch"
    )
    desk.does("batches pause", "more", act="batch paused")
    desk.does("batches open", "more", act="batch open")
    desk.does("batches priority", "more", 3, act="batch priority")
    desk.does("batches overlap", "more", 2, act="batch overlap")
    desk.does("batches rank", "more", act="rank batch")
    desk.does("gold add", 1, "a", act="gold add")
    desk.does("gold rate", "more", "--gold", 0.1, act="mix rates")
    with desk.make() as session:
        known = session.scalar(select(Comparison.id).where(Comparison.gold.is_not(None)))
    desk.does("gold retire", known, act="gold retire")
    desk.does("gold rate", "more", "--gold", 0, act="mix rates")


def _people(desk: Desk) -> None:
    provider = ("--issuer", "https://accounts.example.com")
    desk.does("users invite", "--name", "Ann", act="invite")
    with desk.make() as session:
        number = session.scalar(select(Invite.id))
    desk.does("users revoke", number, act="revoke invite")
    desk.does("users role", "Ann", "analyst", act="set role")
    desk.does("users password", "Ann", "--stdin", typed="a long pass phrase\n", act="set password")
    desk.does("users link", "Ann", *provider, "--subject", "12", act="link")
    desk.does("users unlink", "Ann", act="unlink")
    desk.does("users sign-out", "Ann", act="sign out")
    desk.does("users pause", "Ann", act="pause")
    desk.does("users resume", "Ann", act="resume")
    desk.does("users deactivate", "Ann", act="deactivate")
    desk.does("users activate", "Ann", act="activate")


def _answers(desk: Desk) -> None:
    with desk.make.begin() as session:
        ann = people.person(session, "Ann").id
        shown = labeling.claim(session, ann)
        assert shown is not None
        judged = labeling.judge(session, shown.token, ann, "a", min_dwell=False)
        flag = flags.raise_flag(session, shown.comparison_id, ann, "unsafe", "look").id
        skipped = labeling.claim(session, ann)
        assert skipped is not None
        labeling.skip(session, skipped.token, ann, "not my field")
    desk.does("annotators return", judged.id, "--note", "why?", act="return judgment")
    desk.does("flags resolve", flag, "--words", "looked", act="resolve flag")
    pair = shown.comparison_id
    with desk.make.begin() as session:
        people.put_annotator(session, "Ada", role="admin")
        for each in session.scalars(select(Comparison).order_by(Comparison.id.desc()).limit(2)):
            aside = each.id
            set_aside.put(session, each, "says a name")
    desk.does("flags set-aside restore", aside, act="set aside release")
    desk.does("flags set-aside retire", aside + 1, act="set aside drop")
    desk.does("flags decide", pair, "a", "--by", "Ada", act="adjudicate", by="Ada")
    desk.does(
        "batches reassign", "more", "--comparison", _free(desk), "--to", "Ann", act="reassign"
    )
    desk.does("batches take-back", "more", act="take back")


def _free(desk: Desk) -> int:
    """A pair of the batch ``more`` that nobody has met."""
    with desk.make() as session:
        met = select(Assignment.comparison_id)
        query = select(Comparison.id).join(Comparison.batch).where(Comparison.id.not_in(met))
        found = session.scalar(query.where(Batch.name == "more", Comparison.seats > 0).limit(1))
    assert found is not None
    return found


def _guidelines(desk: Desk, tmp_path) -> None:
    text = tmp_path / "guidelines.md"
    text.write_text("# Be fair\n")
    desk.does("guidelines publish", text, act="guidelines publish")
    desk.does("guidelines require", "--acceptance", act="onboarding")
    desk.does("guidelines require", "--no-acceptance", act="onboarding")
    desk.does("guidelines ready", "Ann", act="onboarding")
    desk.does("guidelines practice", "data/practice.yaml", act="practice")


def _files(desk: Desk, tmp_path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("item_a,item_b,verdict\nx,y,a\n")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "q?", "text_a": "one", "text_b": "other"}\n')
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "what then?"}\n')
    desk.does("import judgments", rows, act="import judgments")
    desk.does("import comparisons", pairs, act="import comparisons")
    desk.does("import prompts", prompts, act="import prompts")
    entry = desk.does("export judgments", "--history", act="export judgments")
    assert entry.subject == "standard output" and entry.detail == {"history": True}
    entry = desk.does("export pairs", "--output", tmp_path / "p.jsonl", act="export pairs")
    assert entry.subject == "p.jsonl" and (tmp_path / "p.jsonl").is_file()
    desk.does("export adapters", act="export adapters")
    skips = tmp_path / "skips.jsonl"
    desk.does("export skips", "--output", skips, act="export skips")
    assert skips.read_text().count("\n") == 1
    desk.does("import skips", skips, act="import skips")


def _training(desk: Desk, tmp_path) -> None:
    mine = ("--persona", PERSONA)
    judge = tmp_path / "judge.py"
    judge.write_text("def one(m, p, a, b): return 'a' if a > b else 'b'\n")
    by = ("--judge", f"{judge}:one")
    desk.does("simulate", *mine, "--annotators", 2, "--most", 20, *by, act="simulate")
    entry = desk.does("retrain", *mine, "--force", "a try", act="retrain")
    job = entry.detail["job"]
    assert entry.detail["force"] == "a try"
    desk.does("jobs cancel", job, act="cancel job")
    rows, sft = tmp_path / "rows.jsonl", tmp_path / "sft.yaml"
    rows.write_text(
        "".join(
            json.dumps({"persona": PERSONA, "prompt": f"ask {n}?", "response": f"say {n}"}) + "\n"
            for n in range(12)
        )
    )
    sft.write_text("rank: 4\nalpha: 8.0\nsteps: 2\nbatch: 4\nlearning_rate: 0.01\n")
    desk.does("sft", *mine, "--rows", rows, "--config", sft, "--name", "one", act="sft")
    desk.does("dpo", *mine, *_preferences(tmp_path), "--name", "two", act="dpo")
    desk.does("adapters fuse", f"{STARTER}=1", *mine, "--name", "three", act="fuse")
    desk.does("adapters promote", "three", "--reason", "a try", act="promote")
    desk.does("adapters rollback", PERSONA, act="rollback")
    desk.does("batches close", "more", act="batch closed")
    _in_comparison(desk)
    desk.does("rounds ask", PERSONA, act="ask again")
    desk.does("rounds decide", PERSONA, "--reason", "enough", act="decide")
    desk.does("evaluate", *mine, "--adapter", "three", "--comparisons", 2, *by, act="evaluate")


def _in_comparison(desk: Desk) -> None:
    """A round whose challenger is being compared, and whose asking for more had failed."""
    with desk.make.begin() as session:
        batch = session.scalars(select(Batch).where(Batch.name == "more")).one()
        current = rounds.open_round(session, PERSONA, STARTER)
        current.state, current.challenger_id = RoundState.BLIND, "three"
        current.blind_batch_id = batch.id
        current.decision = {"asked": {"failed": "the engine was away"}}


def _preferences(tmp_path) -> tuple[object, ...]:
    """Options of a run of one step on a few pairs."""
    pairs, config = tmp_path / "preferences.jsonl", tmp_path / "dpo.yaml"
    row = {"chosen": [{"role": "assistant", "content": "yes"}]}
    row["rejected"] = [{"role": "assistant", "content": "no"}]
    pairs.write_text(
        "".join(
            json.dumps({"prompt": [{"role": "user", "content": f"ask {n}?"}], **row}) + "\n"
            for n in range(6)
        )
    )
    given = small_dpo(epochs=1, minimum_pairs=4, minimum_steps=1).__dict__
    config.write_text("".join(f"{n}: {json.dumps(v)}\n" for n, v in given.items() if v is not None))
    return "--pairs", pairs, "--config", config


def _long_ones(desk: Desk, monkeypatch) -> None:
    """What would run for minutes is written down before it begins."""
    from annotate_app import commands
    from training.engine import EngineSupervisor

    def not_now(*_arguments, **_named):
        raise PersonaLoopError("not in this test")

    for name in ("DATABASE_URL", "PERSONALOOP_URL", "PYTHONUNBUFFERED"):
        monkeypatch.setenv(name, "")  # serve sets them for its children; the test puts them back
    monkeypatch.setattr(EngineSupervisor, "__enter__", not_now)
    desk.does("loop", "--persona", PERSONA, "--rounds", 1, act="loop", refused="not in this test")
    monkeypatch.setattr(commands, "_answers", not_now)
    monkeypatch.setattr(commands, "_children", lambda *_, **__: [_Ended()])
    desk.does("serve", "--port", 8999, act="invite", refused="not in this test")


class _Ended:
    """A child process that is not there."""

    def tick(self) -> None:
        """Nothing to look after."""

    def stop(self) -> None:
        """Nothing to end."""

    def wait(self, deadline: float) -> None:
        """Nothing to wait for."""


def _whole_ledger(desk: Desk, tmp_path) -> None:
    copy = tmp_path / "copy.db"
    desk.does("init", act="init")
    desk.does("doctor", "--rebuild-blocks", act="rebuild blocks")
    desk.does("backup", copy, act="backup")
    desk.does("users erase", "Ann", "--yes", act="erase")
    desk.does("restore", copy, "--force", act="restore")


def test_a_doctor_of_no_ledger_refuses_and_makes_no_file(tmp_path):
    url = f"sqlite:///{tmp_path / 'gone' / 'ledger.db'}"
    for command in (["doctor", "--rebuild-blocks"], ["batches", "list"]):
        done = CliRunner().invoke(personaloop, [*command, "--database-url", url])
        assert isinstance(done.exception, PersonaLoopError)
        assert "there is no ledger at" in str(done.exception)
    assert not (tmp_path / "gone").exists()


def test_an_entry_of_a_dry_run_stays_no_more_than_its_rows(ledger, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("item_a,item_b,verdict\nx,y,a\n")
    desk = Desk(ledger)
    given = ["import", "judgments", str(rows), "--dry-run", "--database-url", desk.url]
    assert CliRunner().invoke(personaloop, given).exit_code == 0
    with ledger() as session:
        assert session.scalar(select(Judgment.id)) is None
        assert not audit.entries(session, audit.Asked(act="import judgments"))
