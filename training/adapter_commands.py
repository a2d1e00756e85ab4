"""``personaloop adapters``: list, show, lineage, promote, roll back, fuse, verify.

Parses options and prints; what is done is in the modules that are called. Needs no torch.
"""

import json
from pathlib import Path
from typing import Any

import click

from db.command_options import actor, database_option
from db.errors import NotFound
from db.settings import outputs_dir


@click.group()
def adapters() -> None:
    """Adapters: what there is, what answers for each persona, where it comes from."""


@adapters.command("list")
@click.option("--persona", help="Only of this slug.")
@database_option
def list_adapters(persona: str | None, database_url: str | None) -> None:
    """List adapters: id, kind, persona, parents, made when (UTC); * marks what answers now."""
    from db import adapters as ledger
    from db.personas import all_personas
    from db.session import readers, require_current

    require_current(database_url)
    with readers(database_url).begin() as session:
        now: set[str] = set()
        for each in all_personas(session):
            try:
                now.add(ledger.incumbent(session, each.slug).id)
            except NotFound:
                continue
        rows = [a for a in ledger.adapters(session, persona) if a.kind != "external"]
    if not rows:
        click.echo("no adapters yet; `personaloop init --sample` registers the shipped ones")
    width = max((len(each.id) for each in rows), default=0)
    for each in rows:
        parents = ", ".join(str(parent.get("id")) for parent in each.parents)
        click.echo(
            f"{'*' if each.id in now else ' '} {each.id:<{width}}  {each.kind.value:<5}  "
            f"{each.persona_slug or '–':<18}  {each.created_at:%Y-%m-%d %H:%M}"
            + (f"  from {parents}" if parents else "")
            + ("  COUNTERFACTUAL, never answers" if each.metrics.get("without") else "")
        )


@adapters.command()
@click.argument("adapter_id")
@database_option
def show(adapter_id: str, database_url: str | None) -> None:
    """Show ADAPTER_ID with its lineage down to the judgments, as JSON."""
    from db import lineage as ancestry
    from db.session import readers, require_current

    require_current(database_url)
    with readers(database_url).begin() as session:
        click.echo(json.dumps(ancestry.tree(session, adapter_id), indent=2, default=str))


@adapters.command()
@click.argument("adapter_id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "dot"]),
    default="text",
    show_default=True,
    help="dot is Graphviz's: `dot -Tsvg` draws it.",
)
@database_option
def lineage(adapter_id: str, form: str, database_url: str | None) -> None:
    """Print where ADAPTER_ID comes from and what became of it, down to the base model.

    Judgments (by annotator, kind and batch), snapshot, run, blind comparisons with 95 % intervals,
    changes of what answers, and the same for every parent. Times are UTC.
    """
    from db import lineage as ancestry
    from db import lineage_words
    from db.session import readers, require_current

    require_current(database_url)
    with readers(database_url).begin() as session:
        told = ancestry.tree(session, adapter_id)
    if form == "json":
        click.echo(json.dumps(told, indent=2, default=str, ensure_ascii=False))
    else:
        click.echo(lineage_words.as_text(told) if form == "text" else lineage_words.as_dot(told))


@adapters.command()
@click.argument("adapter_id")
@click.option("--persona", help="Slug.  [default: the adapter's own]")
@click.option("--reason", required=True, help="Why, for the record.")
@database_option
def promote(adapter_id: str, persona: str | None, reason: str, database_url: str | None) -> None:
    """Let ADAPTER_ID answer for its persona, without the gate; the reason is kept."""
    from db import adapters as ledger
    from db.session import require_current, sessions

    require_current(database_url)
    with sessions(database_url).begin() as session:
        slug = persona or ledger.adapter(session, adapter_id).persona_slug
        if slug is None:
            raise NotFound(f"{adapter_id} belongs to no persona; name one with --persona")
        ledger.promote(session, slug, adapter_id, reason=reason, actor=actor())
    click.echo(f"{adapter_id} answers for {slug} now")


@adapters.command()
@click.argument("persona")
@database_option
def rollback(persona: str, database_url: str | None) -> None:
    """Let what answered for PERSONA before answer again; repeated, it goes further back."""
    from db import adapters as ledger
    from db.session import require_current, sessions

    require_current(database_url)
    with sessions(database_url).begin() as session:
        change = ledger.rollback(session, persona, actor=actor())
        click.echo(f"{change.adapter_id} answers for {persona} again")


@adapters.command()
@click.argument("parts", nargs=-1, required=True, metavar="ADAPTER=WEIGHT…")
@click.option("--persona", required=True, help="Slug of the persona that it will belong to.")
@click.option("--name", required=True, help="Id of the new adapter: letters, digits, . _ -")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Of the stored factors; rounding comes last.",
)
@database_option
def fuse(
    parts: tuple[str, ...], persona: str, name: str, dtype: str, database_url: str | None
) -> None:
    """Write the exact weighted sum of adapters as a new one and register it.

    Each ADAPTER is an id of the ledger or a PEFT folder, such as formal_concierge-sft-v1=0.7.
    """
    from db import audit
    from db.session import require_current, sessions
    from training.adapters import read_card, safe_id
    from training.fusion import fuse as fuse_exactly
    from training.registering import register

    require_current(database_url)
    out = outputs_dir() / "lora" / safe_id(persona) / safe_id(name)
    with sessions(database_url).begin() as session:
        sources = [_part(session, part) for part in parts]
    report = fuse_exactly(sources, out, dtype=dtype, persona=persona)
    card = read_card(out)
    with sessions(database_url).begin() as session:
        register(session, card, out)
        audit.record(session, actor(), "fuse", f"{persona}: {card.id}", parts=list(parts))
    click.echo(
        f"{out}: rank {report.rank}, {len(report.modules)} modules, largest relative error "
        f"{report.worst.relative_error:.1e} ({report.worst.module})"
    )


@adapters.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
def verify(folders: tuple[Path, ...]) -> None:
    """Check adapter FOLDERS (all of this machine's by default) against their checksums."""
    from training.adapters import list_adapters as every
    from training.adapters import verify_adapter

    chosen = list(folders) or [folder for folder, _ in every()]
    for folder in chosen:
        card = verify_adapter(folder)
        click.echo(f"{card.id}: as it was written ({card.sha256[:12]}…)")
    if not chosen:
        click.echo("no adapter folders on this machine")


def _part(session: Any, text: str) -> tuple[Path, float]:
    """One ADAPTER=WEIGHT as (folder, weight)."""
    from db import adapters as ledger
    from training.adapters import find_adapter

    name, _, weight = text.rpartition("=")
    try:
        number = float(weight)
    except ValueError:
        name = ""
        number = 0.0
    if not name:
        raise click.UsageError(f"{text!r}: give ADAPTER=WEIGHT, such as my-adapter=0.5")
    if Path(name).is_dir():
        return Path(name), number
    adapter = ledger.adapter(session, name)
    return find_adapter(adapter.persona_slug or "", adapter.id), number
