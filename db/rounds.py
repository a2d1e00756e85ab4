"""Rounds: one pass from candidates to an evaluated adapter, for one persona."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.errors import NotFound, Refused
from db.models import Persona, Round, RoundState

ENDED = (RoundState.PROMOTED, RoundState.REJECTED)


def current_round(session: Session, persona: str) -> Round | None:
    """The persona's round that has not ended; None when there is none."""
    return session.scalar(
        select(Round)
        .where(Round.persona_slug == persona, Round.state.not_in(ENDED))
        .order_by(Round.number.desc())
        .limit(1)
    )


def open_round(session: Session, persona: str, incumbent_id: str) -> Round:
    """Begin the persona's next round; the one under way is found again.

    Raises:
        NotFound: There is no such persona.
        Refused: The round under way has another incumbent.
    """
    if session.get(Persona, persona, with_for_update={"key_share": True}) is None:
        raise NotFound(f"there is no persona {persona!r}")
    under_way = current_round(session, persona)
    if under_way is not None:
        if under_way.incumbent_id != incumbent_id:
            raise Refused(
                f"round {under_way.number} of {persona} is under way"
                f" with {under_way.incumbent_id} as incumbent; end it first"
            )
        return under_way
    last = session.scalar(select(func.max(Round.number)).where(Round.persona_slug == persona))
    made = Round(persona_slug=persona, number=(last or 0) + 1, incumbent_id=incumbent_id)
    session.add(made)
    session.flush()
    return made


def rounds(session: Session, persona: str | None = None) -> list[Round]:
    """Rounds by persona and number, of one persona or of all."""
    query = select(Round).order_by(Round.persona_slug, Round.number)
    if persona is not None:
        query = query.where(Round.persona_slug == persona)
    return list(session.scalars(query))
