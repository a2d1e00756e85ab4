"""Short names of adapters: ``round 3``, ``the start``, or the id without its persona.

Knows rounds and ids; no database and no Streamlit.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol


class NamedRound(Protocol):
    """What naming needs to know of a round."""

    @property
    def persona(self) -> str: ...  # noqa: D102
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def incumbent(self) -> str: ...  # noqa: D102
    @property
    def challenger(self) -> str | None: ...  # noqa: D102


def short_names(rounds: Iterable[NamedRound]) -> dict[str, str]:
    """Adapter id to short name, for every adapter that took part in a round.

    The challenger of round 3 is ``round 3``; what stood before any round is ``the start``. One
    id is never given two names: a challenger keeps the name of its first round.
    """
    names: dict[str, str] = {}
    known = list(rounds)
    for view in known:
        if view.challenger is not None:
            names.setdefault(view.challenger, f"round {view.number}")
    for view in known:
        names.setdefault(view.incumbent, "the start")
    return names


def short(adapter_id: str, names: Mapping[str, str], persona: str | None = None) -> str:
    """The short name of an adapter; its id, less the persona in front, where it has none."""
    if adapter_id in names:
        return names[adapter_id]
    head = f"{persona}-" if persona else ""
    return adapter_id.removeprefix(head) or adapter_id
