"""Personas as the ledger knows them. Their guides are files; only name and hash are kept here."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import NotFound
from db.models import Persona


def put_persona(
    session: Session,
    *,
    slug: str,
    name: str,
    summary: str = "",
    template_sha256: str = "",
    front_matter: dict[str, Any] | None = None,
) -> Persona:
    """Add a persona or bring its name, summary and template hash up to date."""
    persona = session.get(Persona, slug)
    if persona is None:
        persona = Persona(slug=slug)
        session.add(persona)
    persona.name = name
    persona.summary = summary
    persona.template_sha256 = template_sha256
    persona.front_matter = front_matter or {}
    session.flush()
    return persona


def all_personas(session: Session) -> list[Persona]:
    """Every persona, by slug."""
    return list(session.scalars(select(Persona).order_by(Persona.slug)))


def persona(session: Session, slug: str) -> Persona:
    """One persona.

    Raises:
        NotFound: There is none of this slug; the message lists those there are.
    """
    found = session.get(Persona, slug)
    if found is None:
        known = ", ".join(each.slug for each in all_personas(session)) or "none yet"
        raise NotFound(f"there is no persona {slug!r}; known: {known}")
    return found
