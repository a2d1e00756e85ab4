"""Talk to a persona in the terminal, or ask one question: answers come from the real engine.

    python scripts/sample_persona_chat.py --persona playful_sidekick
    python scripts/sample_persona_chat.py --persona formal_concierge --ask "Where is my parcel?"

The local engine is started when none is running (TINKER_API_KEY takes hosted Tinker instead).
Thin: who answers is decided by the ledger's alias, or by --adapter; the rest is the rooms' work.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click

from db.adapters import incumbent
from db.errors import NotFound, PersonaLoopError
from db.session import readers, require_current, sqlite_file
from db.settings import adapter_roots
from training.chatting import reply
from training.engine import EngineError
from training.personas import load_personas
from training.service import open_service


def answering(persona: str) -> str:
    """The adapter that answers for a persona: by the ledger, else the newest shipped one."""
    try:
        file = sqlite_file()
        if file is not None and not file.exists():
            raise NotFound("no ledger yet")
        require_current()
        with readers()() as session:
            return incumbent(session, persona).id
    except NotFound:
        shipped = sorted((adapter_roots()[-1] / persona).glob("*/adapter.json"))
        if not shipped:
            raise NotFound(f"no adapter answers for {persona} yet; train one first") from None
        return shipped[-1].parent.name


@click.command()
@click.option("--persona", default="playful_sidekick", show_default=True, help="Slug.")
@click.option("--adapter", default=None, help="Adapter id; default: the one that answers now.")
@click.option("--ask", default=None, help="Ask this one question and stop.")
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
def main(persona: str, adapter: str | None, ask: str | None, temperature: float, seed: int) -> None:
    """Talk to a persona; an empty line ends it."""
    try:
        known = load_personas()
        if persona not in known:
            raise NotFound(f"there is no persona {persona!r}; known: {', '.join(known)}")
        who = adapter or answering(persona)
        service = open_service()
        click.echo(f"{known[persona].name}, answered by {who}", err=True)
        talk: list[dict[str, str]] = []
        while True:
            said = ask or click.prompt("you", default="", show_default=False, prompt_suffix="> ")
            if not said.strip():
                return
            talk.append({"role": "user", "content": said})
            told = reply(service, persona, who, talk, temperature=temperature, seed=seed)
            talk.append({"role": "assistant", "content": told.text})
            click.echo(told.text if ask else f"{known[persona].name}> {told.text}")
            if ask:
                return
    except (PersonaLoopError, EngineError) as error:
        click.echo(f"sample_persona_chat: {error}", err=True)
        sys.exit(1)
    except click.Abort:
        return


if __name__ == "__main__":
    main()
