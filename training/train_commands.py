"""``personaloop sft``, ``dpo``, ``chat`` and ``evaluate``: one run, one talk, one comparison.

Parses options and prints; what is done is in the modules that are called.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from db.command_options import database_option
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
    from training.runs import RunFolder
    from training.service import open_service
    from training.sft import SFTConfig, train_sft

    settings = load_config(SFTConfig, config or CONFIGS / "lora_persona.yaml", {"steps": steps})
    speaker, out = _persona(persona), _new_folder(persona, name)
    run = RunFolder(outputs_dir() / "runs" / name)
    with click.progressbar(length=settings.steps, label="training") as bar:
        card = train_sft(
            open_service(), speaker, rows, settings, run, out, _steps(bar, settings.steps)
        )
    _register(card, out, database_url, promote)
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
    from db import adapters, snapshots
    from db.session import sessions, upgrade
    from training.configs import CONFIGS, load_config
    from training.dpo_config import DPOConfig
    from training.dpo_run import train_adapter
    from training.pair_files import read_pairs
    from training.pairs import build_pairs
    from training.runs import RunFolder
    from training.service import open_service

    settings = load_config(DPOConfig, config or CONFIGS / "dpo.yaml")
    speaker, out = _persona(persona), _new_folder(persona, name)
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        start = (
            adapters.adapter(session, reference)
            if reference
            else adapters.incumbent(session, persona)
        )
        snapshot = None
        if pairs_file is None:
            taken = snapshots.take(session, persona, include_simulated=include_simulated)
            snapshot = taken.sha256
            pairs = build_pairs(snapshots.rows(session, taken.id), settings.pair_options())
        else:
            pairs = read_pairs(pairs_file, settings.pair_options())
    click.echo(pairs.in_words(), err=True)
    with click.progressbar(length=1000, label="training") as bar:
        card = train_adapter(
            open_service(),
            speaker,
            pairs.training,
            pairs,
            settings,
            start,
            RunFolder(outputs_dir() / "runs" / name),
            out,
            snapshot=snapshot,
            progress=_steps(bar, 1000),
        )
    _register(card, out, database_url, False)
    accuracy = card.metrics.get("heldout_accuracy")
    said = "no held-out pairs" if accuracy is None else f"held-out accuracy {accuracy:.0%}"
    click.echo(f"{out}: {card.metrics['steps']} steps, {said}")


@click.command()
@click.option("--persona", required=True, help="Slug.")
@click.option("--adapter", help="Adapter id.  [default: what answers now]")
@click.option("--ask", help="Ask this one question and stop.")
@click.option("--temperature", type=click.FloatRange(0, 10), default=0.8, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
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
    import logging

    from db import adapters
    from db.session import readers, require_current
    from training.chatting import reply
    from training.service import open_service

    for name in ("httpx", "tinker"):
        logging.getLogger(name).setLevel(logging.WARNING)
    speaker = _persona(persona)
    require_current(database_url)
    with readers(database_url).begin() as session:
        who = adapter or adapters.incumbent(session, persona).id
    service = open_service()
    click.echo(f"{speaker.name}, answered by {who}", err=True)
    talk: list[dict[str, str]] = []
    while True:
        said = ask or click.prompt("you", default="", show_default=False, prompt_suffix="> ")
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
    from db import adapters
    from db.models import AnnotatorKind
    from db.session import sessions, upgrade
    from training.batches import BatchMaker
    from training.candidates import CandidateConfig
    from training.configs import CONFIGS, load_config
    from training.deciding import batch_judgments
    from training.evaluation.gate import win_rate_over
    from training.evaluation.judges import annotators, load_judge
    from training.service import open_service
    from training.simulation import judge_all

    function = load_judge(judge) if judge else None
    upgrade(database_url)
    make = sessions(database_url)
    with make.begin() as session:
        adapters.adapter(session, adapter)
        other = against or adapters.incumbent(session, persona).id
    if other == adapter:
        raise NotFound(f"{adapter} answers for {persona} now; name another with --against")
    config = load_config(CandidateConfig, CONFIGS / "candidates.yaml")
    maker = BatchMaker(make, open_service(), persona, config)
    made = maker.blind_batch(f"{adapter} against {other}", adapter, other, comparisons)
    if function is not None and judge is not None:
        name = f"judge-{judge.rpartition(':')[2]}"[:110]
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


def _persona(slug: str) -> Any:
    from training.personas import PersonaError, load_personas

    known = load_personas()
    if slug not in known:
        raise PersonaError(f"no persona {slug!r}; there are {', '.join(known)}")
    return known[slug]


def _new_folder(persona: str, name: str) -> Path:
    from training.adapters import safe_id

    return outputs_dir() / "lora" / safe_id(persona) / safe_id(name)


def _register(card: Any, out: Path, database_url: str | None, promote: bool) -> None:
    from db import adapters
    from db.session import sessions, upgrade
    from training.adapters import portable

    upgrade(database_url)
    told = {name: value for name, value in asdict(card).items() if name in _COLUMNS}
    with sessions(database_url).begin() as session:
        adapters.put_adapter(session, **told, path=portable(out), sha256=card.sha256)
        if promote:
            adapters.promote(session, card.persona, card.id, reason="asked for", actor="sft")


_COLUMNS = (
    "id",
    "kind",
    "persona",
    "base_model",
    "base_model_sha256",
    "parents",
    "metrics",
    "config",
)


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
