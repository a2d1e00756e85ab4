"""The training room's commands, as people type them: what they do and what they refuse."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from workbench import PERSONA, STARTER, small_candidates

from db.errors import PersonaLoopError
from db.models import Annotator, AnnotatorKind, Judgment
from personaloop import personaloop


@pytest.fixture
def run(ledger):
    url = ledger.kw["bind"].url.render_as_string(hide_password=False)

    def call(*arguments: str, database: bool = True, typed: str | None = None):
        given = [*arguments, *(["--database-url", url] if database else [])]
        return CliRunner().invoke(personaloop, given, input=typed)

    return call


def refused(result, words: str) -> None:
    """One clear line, as main() prints it."""
    assert isinstance(result.exception, PersonaLoopError), result.output
    assert words in str(result.exception) and "\n" not in str(result.exception)


COMMANDS = (
    *("generate", "sft", "dpo", "retrain", "work", "tick"),
    *("adapters", "chat", "evaluate", "simulate", "loop", "rounds"),
)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_without_torch(name):
    result = CliRunner().invoke(personaloop, [name, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output
    if name not in ("adapters", "rounds"):
        assert "--database-url" in result.output


def test_adapters_are_listed_shown_promoted_and_rolled_back(run):
    listed = run("adapters", "list")
    assert f"* {STARTER}" in listed.output
    shown = json.loads(run("adapters", "show", STARTER).output)
    assert shown["id"] == STARTER and shown["persona"] == PERSONA
    refused(run("adapters", "rollback", PERSONA), "nothing answered")
    refused(run("adapters", "promote", STARTER, "--reason", "x"), "answers for")
    refused(run("adapters", "show", "nothing"), "no adapter 'nothing'")


def test_a_lineage_is_printed_as_text_values_and_graph(run):
    text = run("adapters", "lineage", STARTER).output
    assert text.startswith(f"{STARTER} (sft)") and "by test: shipped" in text
    assert "(base model), weights" in text
    assert (
        json.loads(run("adapters", "lineage", STARTER, "--format", "json").output)["id"] == STARTER
    )
    assert run("adapters", "lineage", STARTER, "--format", "dot").output.startswith("digraph")
    refused(run("adapters", "lineage", "nothing"), "no adapter 'nothing'")


def test_leaving_somebody_out_wants_an_adapter_that_learned_and_takes_no_other_options(run):
    asked = ("retrain", "--persona", PERSONA, "--without-annotator", "ann")
    for more in ((), ("--dry-run",), ("--now",)):
        refused(run(*asked, *more), "was trained on judgments yet")
    assert "keeps the judgments" in run(*asked, "--include-simulated").output
    alone = run("retrain", "--persona", PERSONA, "--adapter", STARTER)
    assert alone.exit_code == 2 and "goes with --without-annotator" in alone.output


def test_adapters_are_fused_into_the_ledger(run, workshop):
    name = f"fused-{workshop.outputs.name[-4:]}-test"
    parts = (f"{STARTER}=0.5", f"{STARTER}=0.5")
    done = run("adapters", "fuse", *parts, "--persona", PERSONA, "--name", name)
    assert done.exit_code == 0, done.output
    assert "rank 8" in done.output and "relative error" in done.output
    shown = json.loads(run("adapters", "show", name).output)
    assert [parent["id"] for parent in shown["parents"]] == [STARTER, STARTER]
    verified = run("adapters", "verify", database=False)
    assert f"{name}: as it was written" in verified.output
    promoted = run("adapters", "promote", name, "--reason", "a blend")
    assert f"{name} answers for {PERSONA} now" in promoted.output
    assert f"{STARTER} answers" in run("adapters", "rollback", PERSONA).output
    wrong = run("adapters", "fuse", STARTER, "--persona", PERSONA, "--name", "x")
    assert wrong.exit_code == 2 and "give ADAPTER=WEIGHT" in wrong.output


def test_a_fused_adapter_answers_like_its_only_parent(run, workshop):
    from training.candidates import sample_candidates
    from training.datums import Encoder
    from training.personas import load_personas

    name = f"copy-{workshop.outputs.name[-4:]}-test"
    run("adapters", "fuse", f"{STARTER}=1.0", "--persona", PERSONA, "--name", name)
    service = workshop.service()
    encoder = Encoder(service, load_personas()[PERSONA])
    config = replace(small_candidates(), temperature=0.0)
    texts = []
    for adapter in (STARTER, name):
        path = f"tinker://adapter-{PERSONA}/weights/{adapter}"
        prompts = [(str(n), [{"role": "user", "content": f"ask {n}"}]) for n in range(4)]
        made = sample_candidates(
            service.sampler(path), encoder, prompts, adapter, config, purpose="t", samples=1
        )
        texts.append([one[0].text for one in made])
    assert texts[0] == texts[1]


def test_unknown_names_are_refused_with_what_there_is(run):
    refused(run("retrain", "--persona", "nobody"), f"the ledger has {PERSONA}")
    refused(run("generate", "--persona", "nobody"), "there is no persona 'nobody'")
    refused(run("loop", "--persona", "nobody", "--judge", ""), "no persona 'nobody'")
    refused(run("sft", "--persona", "nobody", "--name", "x"), "no persona 'nobody'")
    refused(run("sft", "--persona", PERSONA, "--name", "a/b"), "is no adapter id")


def test_a_bad_judge_is_refused_before_anything_starts(run, tmp_path):
    refused(run("loop", "--judge", "gone.py:f"), "there is no file")
    refused(run("simulate", "--judge", "gone.py:f"), "there is no file")
    refused(run("loop", "--judge", "f"), "FILE.py:function")


def test_a_report_that_cannot_be_written_is_refused_before_the_loop(run, tmp_path):
    (tmp_path / "file").write_text("")
    refused(run("loop", "--output", str(tmp_path / "file" / "report.json")), "cannot be written")


def test_a_bad_configuration_names_file_and_field(run, tmp_path):
    path = tmp_path / "dpo.yaml"
    path.write_text("betta: 0.1\n")
    refused(run("retrain", "--persona", PERSONA, "--config", str(path)), "unknown field 'betta'")


def test_retraining_is_queued_once_and_dry_run_writes_nothing(run, ledger, workshop):
    from db.models import Job, Snapshot
    from training.evaluation.judges import annotators
    from training.jobs import make_label_batch
    from training.simulation import judge_all

    refused(run("retrain", "--persona", PERSONA, "--dry-run"), "no standing judgment")
    make_label_batch(ledger, workshop.service(), PERSONA, small_candidates(), 24)
    judge_all(ledger, annotators(4, judge=lambda m, p, a, b: "a" if a > b else "b"))
    dry = run("retrain", "--persona", PERSONA, "--include-simulated", "--dry-run")
    assert dry.exit_code == 0, dry.exception
    assert f"reference: {STARTER}" in dry.output and "pairs to train on" in dry.output
    assert "tokens: at most" in dry.output and "steps: " in dry.output
    assert "cost: no price is set for" in dry.output and "configs/prices.yaml" in dry.output
    assert "agreement cannot be told yet" in dry.output
    with ledger.begin() as session:
        assert session.scalar(select(Snapshot)) is None and session.scalar(select(Job)) is None
    assert "is queued" in run("retrain", "--persona", PERSONA).output
    refused(run("retrain", "--persona", PERSONA), "under way already")


def test_simulated_judgments_are_marked_in_name_and_kind(run, ledger, workshop, tmp_path):
    from training.jobs import make_label_batch

    make_label_batch(ledger, workshop.service(), PERSONA, small_candidates(), 24)
    first = run("simulate", "--annotators", "3", "--most", "10")
    assert "10 judgments stored, all marked as simulated" in first.output
    judge = tmp_path / "judge.py"
    judge.write_text("def always_a(m, p, a, b): return 'a'\n")
    rest = run("simulate", "--annotators", "3", "--judge", f"{judge}:always_a")
    assert "14 judgments stored" in rest.output
    with ledger.begin() as session:
        names = list(session.scalars(select(Annotator.name)))
        kinds = set(session.scalars(select(Annotator.kind)))
        assert len(list(session.scalars(select(Judgment)))) == 24
    assert kinds == {AnnotatorKind.SIMULATED}
    assert all(name.startswith("simulated") for name in names)
    assert "simulated-always_a-01" in names
    assert "0 judgments stored" in run("simulate").output


def test_a_judge_that_answers_wrongly_stops_without_a_lost_lease(run, ledger, workshop, tmp_path):
    from training.jobs import make_label_batch

    make_label_batch(ledger, workshop.service(), PERSONA, small_candidates(), 24)
    judge = tmp_path / "judge.py"
    judge.write_text("def wrong(m, p, a, b): return 'left'\n")
    refused(run("simulate", "--judge", f"{judge}:wrong"), "must answer one of a, b, tie, both_bad")
    assert "24 judgments stored" in run("simulate").output


def test_every_option_of_every_command_says_what_it_is():
    import click

    for name in COMMANDS:
        command = personaloop.get_command(click.Context(personaloop), name)
        parts = command.commands.values() if isinstance(command, click.Group) else [command]
        for part in parts:
            silent = [
                option.opts[0]
                for option in part.params
                if isinstance(option, click.Option) and not option.help
            ]
            assert not silent, f"{name} {part.name}: {silent}"


@pytest.fixture
def at_hand(workshop, monkeypatch):
    """Commands find the tests' engine."""
    from training import service

    monkeypatch.setattr(service, "open_service", lambda settings=None: workshop.service())


def test_an_adapter_of_another_persona_is_refused_before_anything_is_made(run, ledger):
    from db import adapters, personas

    with ledger.begin() as session:
        personas.put_persona(session, slug="formal_concierge", name="Reed")
        adapters.put_adapter(session, id="theirs", kind="sft", persona="formal_concierge")
        adapters.put_adapter(session, id="some-model", kind="external")
    words = f"adapter theirs belongs to formal_concierge, not to {PERSONA}"
    mine = ("--persona", PERSONA)
    refused(run("evaluate", *mine, "--adapter", "theirs"), words)
    refused(run("evaluate", *mine, "--adapter", STARTER, "--against", "theirs"), words)
    refused(run("dpo", *mine, "--reference", "theirs", "--name", "x"), words)
    refused(run("evaluate", *mine, "--adapter", "some-model"), "known by name only")


def test_a_persona_that_the_ledger_does_not_know_trains_nothing(run):
    told = run("sft", "--persona", "luxury_curator", "--name", "new")
    refused(told, "the ledger does not know luxury_curator yet; `personaloop init --sample`")


def test_each_judge_of_an_evaluation_gets_comparisons_of_its_own(
    run, ledger, workshop, tmp_path, at_hand
):
    from db import adapters

    run("adapters", "fuse", f"{STARTER}=0.5", "--persona", PERSONA, "--name", "half")
    judge = tmp_path / "judge.py"
    judge.write_text(
        "def longer(m, p, a, b): return 'a' if len(a) > len(b) else 'b'\n"
        "def shorter(m, p, a, b): return 'b' if len(a) > len(b) else 'a'\n"
    )
    told = []
    for name in ("longer", "shorter"):
        done = run(
            "evaluate", "--persona", PERSONA, "--adapter", "half", "--comparisons", "7",
            "--judge", f"{judge}:{name}",
        )  # fmt: skip
        assert done.exit_code == 0, done.exception
        told.append(done.output)
    assert told[0] != told[1]
    assert all("judged by no person" in output for output in told)
    with ledger.begin() as session:
        kinds = dict(session.execute(select(Annotator.name, Annotator.kind)).tuples().all())
        assert adapters.incumbent(session, PERSONA).id == STARTER
    assert kinds == {
        f"judge-judge.{name}-01": AnnotatorKind.AUTOMATIC for name in ("longer", "shorter")
    }


def test_an_adapter_of_one_run_knows_its_judgments_and_asked_again_is_found(
    run, ledger, workshop, tmp_path, at_hand
):
    from workbench import small_dpo

    from training.evaluation.judges import annotators
    from training.jobs import make_label_batch
    from training.simulation import judge_all

    make_label_batch(ledger, workshop.service(), PERSONA, small_candidates(), 24)
    judge_all(ledger, annotators(4, judge=lambda m, p, a, b: "a" if a > b else "b"))
    config = tmp_path / "dpo.yaml"
    given = {n: v for n, v in small_dpo(epochs=1).__dict__.items() if v is not None}
    config.write_text("".join(f"{n}: {json.dumps(v)}\n" for n, v in given.items()))
    command = (
        "dpo", "--persona", PERSONA, "--include-simulated", "--config", str(config),
        "--name", "by-hand",
    )  # fmt: skip
    for _ in range(2):
        done = run(*command)
        assert done.exit_code == 0, done.exception
        assert "SIMULATED: 24 of them by no person" in done.output
    shown = json.loads(run("adapters", "show", "by-hand").output)
    assert shown["snapshot"]["by_kind"]["simulated"] == 24
    assert shown["metrics"]["simulated_judgments"] == 24
    assert shown["parents"][0]["id"] == STARTER and shown["run"]["id"] == 1


def test_a_talk_ends_with_its_input(run, at_hand):
    done = run("chat", "--persona", PERSONA, typed="hello\n")
    assert done.exit_code == 0, done.output
    assert f"answered by {STARTER}" in done.output


def test_judgments_that_are_not_ready_are_refused_unless_a_reason_is_given(run, ledger, workshop):
    from db.models import AuditEntry, Job
    from training.evaluation.judges import annotators
    from training.jobs import make_label_batch
    from training.simulation import judge_all

    make_label_batch(ledger, workshop.service(), PERSONA, small_candidates(), 24)
    judge_all(ledger, annotators(4, judge=lambda m, p, a, b: "a"))
    command = ("retrain", "--persona", PERSONA, "--include-simulated")
    refused(run(*command), "the first place won 100% of 24 decided judgments")
    dry = run(*command, "--dry-run")
    assert "would be refused: the judgments are not ready" in dry.output
    refused(run(*command, "--force", " "), "say with --force why")
    assert "is queued" in run(*command, "--force", "a trial").output
    with ledger.begin() as session:
        assert session.scalars(select(Job).order_by(Job.id.desc())).first().params["force"] == (
            "a trial"
        )
        entry = session.scalars(select(AuditEntry).where(AuditEntry.act == "retrain")).one()
        assert entry.detail["force"] == "a trial"
