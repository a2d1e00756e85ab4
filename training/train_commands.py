"""``personaloop sft``, ``dpo``, ``chat`` and ``evaluate``: one run, one talk, one comparison.

Parses options and prints; what is done is in the modules that are called.
"""

import sys
from pathlib import Path
from typing import Any

import click

from db.command_options import actor, database_option
from db.errors import NotFound
from db.settings import REPOSITORY, outputs_dir

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--persona", required=True, help="Slug.")
@click.option(
    "--rows",
    type=FILE,
    default=REPOSITORY / "data" / "persona_training.jsonl",
    help="JSONL: persona, response, and prompt or messages.  [default: the shipped rows]",
)
@click.option("--config", type=FILE, help="The run.  [default: configs/lora_persona.yaml]")
@click.option("--name", required=True, help="Id of the new adapter: letters, digits, . _ -")
@click.option("--steps", type=click.IntRange(1), help="Optimizer steps.  [from the config]")
@click.option("--promote", is_flag=True, help="Let it answer for the persona at once.")
@database_option
def sft(
    persona: str,
    rows: Path,
    config: Path | None,
    name: str,
    steps: int | None,
    promote: bool,
    database_url: str | None,
) -> None:
    """Train an adapter on a persona's written responses and register it. Killed, it resumes."""
    from training.configs import CONFIGS, load_config
    from training.personas import persona_of
    from training.runs import RunFolder
    from training.service import open_service
    from training.sft import SFTConfig, train_sft

    settings = load_config(SFTConfig, config or CONFIGS / "lora_persona.yaml", {"steps": steps})
    speaker, out = persona_of(persona), _new_folder(persona, name)
    _refuse_unknown(persona, database_url)
    run = RunFolder(outputs_dir() / "runs" / name)
    with click.progressbar(length=settings.steps, label="training", file=sys.stderr) as bar:
        card = train_sft(
            open_service(), speaker, rows, settings, run, out, _steps(bar, settings.steps)
        )
    _register(card, out, database_url, "sft", promote=promote)
    click.echo(f"{out}: loss {card.metrics['loss']:.3f} nats a token")


@click.command()
@click.option("--persona", required=True, help="Slug.")
@click.option(
    "--pairs",
    "pairs_file",
    type=FILE,
    help="JSONL in TRL's format (prompt, chosen, rejected as message lists; label and weight if "
    "known).  [default: the ledger's judgments]",
)
@click.option("--reference", help="Adapter id to start from.  [default: what answers now]")
@click.option("--include-simulated", is_flag=True, help="Also judgments that no person made.")
@click.option("--config", type=FILE, help="The run.  [default: configs/dpo.yaml]")
@click.option("--name", required=True, help="Id of the new adapter: letters, digits, . _ -")
@database_option
def dpo(
    persona: str,
    pairs_file: Path | None,
    reference: str | None,
    include_simulated: bool,
    config: Path | None,
    name: str,
    database_url: str | None,
) -> None:
    """Train an adapter on preference pairs and register it, without comparison or promotion.

    `personaloop retrain` is the whole of it. Killed, the same command resumes.
    """
    from db import snapshots
    from db.clock import utcnow
    from db.models import JobKind, JobState, Run
    from db.session import sessions, upgrade
    from training import reliability
    from training.adapters import portable
    from training.configs import CONFIGS, load_config
    from training.dpo_config import DPOConfig
    from training.dpo_run import train_adapter
    from training.pair_files import read_pairs
    from training.pairs import build_pairs
    from training.personas import persona_of
    from training.retraining import keep_snapshot
    from training.rounds import adapter_of, left_out
    from training.runs import RunFolder
    from training.service import open_service

    settings = load_config(DPOConfig, config or CONFIGS / "dpo.yaml")
    speaker, out = persona_of(persona), _new_folder(persona, name)
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        start, taken, told = adapter_of(session, persona, reference), None, {}
        if pairs_file is None:
            taken = snapshots.take(session, persona, include_simulated=include_simulated)
            trust = reliability.weigh(session, taken.id, settings, before=utcnow())
            told = {
                "simulated_judgments": taken.n_simulated,
                "not_in_snapshot": left_out(session, taken, utcnow()),
                "annotator_weights": reliability.report(trust, settings),
            }
            rows = reliability.weighted(snapshots.rows(session, taken.id), trust)
            pairs = build_pairs(rows, settings.pair_options())
            keep_snapshot(session, taken.id, outputs_dir() / "runs" / name)
        else:
            pairs = read_pairs(pairs_file, settings.pair_options())
    click.echo(pairs.in_words(), err=True)
    if told.get("simulated_judgments"):
        click.echo(f"SIMULATED: {told['simulated_judgments']} of them by no person", err=True)
    run = RunFolder(outputs_dir() / "runs" / name)
    with click.progressbar(length=1000, label="training", file=sys.stderr) as bar:
        card = train_adapter(
            open_service(),
            speaker,
            pairs.training,
            pairs,
            settings,
            start,
            run,
            out,
            snapshot=None if taken is None else taken.sha256,
            told=told,
            progress=_steps(bar, 1000),
        )
    made_by = Run(
        kind=JobKind.RETRAIN,
        persona_slug=persona,
        snapshot_id=None if taken is None else taken.id,
        reference_id=start.id,
        config=card.config,
        folder=portable(run.path),
        state=JobState.DONE,
        finished_at=utcnow(),
    )
    _register(card, out, database_url, "dpo", made_by=made_by)
    accuracy = card.metrics.get("heldout_accuracy")
    said = "no held-out pairs" if accuracy is None else f"held-out accuracy {accuracy:.0%}"
    click.echo(f"{out}: {card.metrics['steps']} steps, {said}")


@click.command()
@click.option("--persona", required=True, help="Slug.")
@click.option("--adapter", help="Adapter id.  [default: what answers now]")
@click.option("--ask", help="Ask this one question and stop.")
@click.option(
    "--temperature",
    type=click.FloatRange(0, 10),
    default=0.5,
    show_default=True,
    help="Of sampling; 0 is greedy.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same answer."
)
@database_option
def chat(
    persona: str,
    adapter: str | None,
    ask: str | None,
    temperature: float,
    seed: int,
    database_url: str | None,
) -> None:
    """Talk to a persona in the terminal; an empty line ends it. Nothing is stored."""
    from db import adapters
    from db.session import readers, require_current
    from training.chatting import reply
    from training.personas import persona_of
    from training.service import open_service

    speaker = persona_of(persona)
    require_current(database_url)
    with readers(database_url).begin() as session:
        who = adapter or adapters.incumbent(session, persona).id
    service = open_service()
    click.echo(f"{speaker.name}, answered by {who}", err=True)
    talk: list[dict[str, str]] = []
    while True:
        try:
            said = ask or click.prompt("you", default="", show_default=False, prompt_suffix="> ")
        except click.Abort:  # the end of what is typed or piped in
            return
        if not said.strip():
            return
        talk.append({"role": "user", "content": said})
        answer = reply(service, persona, who, talk, temperature=temperature, seed=seed)
        talk.append({"role": "assistant", "content": answer.text})
        click.echo(answer.text)
        if ask:
            return


@click.command()
@click.option("--persona", required=True, help="Slug.")
@click.option("--adapter", required=True, help="Adapter id.")
@click.option("--against", help="Adapter id.  [default: what answers now]")
@click.option(
    "--comparisons",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Blind comparisons on held-out prompts, at most.",
)
@click.option(
    "--judge",
    metavar="FILE.py:FUNCTION",
    help="Let this function judge at once, stored as automatic.  [default: people judge]",
)
@database_option
def evaluate(
    persona: str,
    adapter: str,
    against: str | None,
    comparisons: int,
    judge: str | None,
    database_url: str | None,
) -> None:
    """Compare two adapters blind on held-out prompts and print the win rate with its interval."""
    from db import audit
    from db.models import AnnotatorKind
    from db.session import sessions, upgrade
    from training.batches import BatchMaker, batch_name
    from training.blind import batch_judgments
    from training.candidates import CandidateConfig
    from training.configs import CONFIGS, load_config
    from training.evaluation.gate import win_rate_over
    from training.evaluation.judges import annotators, judge_name, load_judge
    from training.rounds import adapter_of
    from training.service import open_service
    from training.simulation import judge_all

    function = load_judge(judge) if judge else None
    upgrade(database_url)
    make = sessions(database_url)
    with make.begin() as session:
        adapter_of(session, persona, adapter)
        other = adapter_of(session, persona, against).id
    if other == adapter:
        raise NotFound(f"{adapter} answers for {persona} now; name another with --against")
    config = load_config(CandidateConfig, CONFIGS / "candidates.yaml")
    maker = BatchMaker(make, open_service(), persona, config)
    name = f"judge-{judge_name(judge)}"[:110] if judge else ""
    # A judge gets a batch of its own: its verdicts never mix with those of people or other judges.
    called = batch_name(f"{adapter} against {other}{f' by {name}' if name else ''}")
    made = maker.blind_batch(called, adapter, other, comparisons)
    told = {"by": judge_name(judge)} if judge else {}
    audit.record_now(
        database_url, actor(), "evaluate", f"{persona}: {adapter}", against=other, **told
    )
    if function is not None:
        panel = annotators(1, judge=function, name=name)
        judge_all(make, panel, batch_id=made.batch_id, kind=AnnotatorKind.AUTOMATIC)
    with make.begin() as session:
        frame = batch_judgments(session, made.batch_id)
    click.echo(f"{len(frame)} of {made.comparisons} comparisons are judged")
    if len(frame):
        rate = win_rate_over(frame, adapter, other)
        not_people = sum(str(kind) != "human" for kind in frame["annotator_kind"])
        click.echo(
            f"{adapter} wins {rate.value:.1%} [{rate.ci_low:.1%}, {rate.ci_high:.1%}] against "
            f"{other}: {rate.wins} won, {rate.losses} lost, {rate.ties} ties, "
            f"{rate.both_bad} both bad"
            + (f" ({not_people} judged by no person)" if not_people else "")
        )


def _refuse_unknown(persona: str, database_url: str | None) -> None:
    """Say before a run, not after it, that its adapter could not be registered."""
    from db.personas import all_personas
    from db.session import sessions, upgrade

    upgrade(database_url)
    with sessions(database_url).begin() as session:
        if persona not in {one.slug for one in all_personas(session)}:
            raise NotFound(
                f"the ledger does not know {persona} yet; `personaloop init --sample` takes in "
                "every file of templates/personas"
            )


def _new_folder(persona: str, name: str) -> Path:
    from training.adapters import safe_id

    return outputs_dir() / "lora" / safe_id(persona) / safe_id(name)


def _register(
    card: Any,
    out: Path,
    database_url: str | None,
    act: str,
    *,
    promote: bool = False,
    made_by: Any = None,
) -> None:
    """Put a new adapter into the ledger, with the run that made it where there is one."""
    from db import adapters, audit
    from db.models import Adapter
    from db.session import sessions, upgrade
    from training.registering import register

    upgrade(database_url)
    run_id = None
    with sessions(database_url).begin() as session:
        known = session.get(Adapter, card.id)
        if made_by is not None and (known is None or known.run_id is None):
            session.add(made_by)
            session.flush()
            run_id = made_by.id
        register(session, card, out, run_id=run_id)
        audit.record(session, actor(), act, f"{card.persona}: {card.id}")
        if promote:
            adapters.promote(session, card.persona, card.id, reason="asked for", actor=actor())


def _steps(bar: Any, length: int) -> Any:
    """A progress function that moves a bar of so many steps."""
    at = 0

    def told(stage: str, share: float) -> None:
        nonlocal at
        now = round(length * min(max(share, 0.0), 1.0))
        bar.label = stage
        bar.update(max(0, now - at))
        at = max(at, now)

    return told
