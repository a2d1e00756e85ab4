"""What evaluators go by: published in versions, accepted once a version, never changed.

Knows no page; whether acceptance is asked for is in ``db.onboarding``.
"""

from pathlib import Path

from sqlalchemy import bindparam, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit
from db.errors import NotFound, Refused
from db.leases import lock_annotator
from db.models import Guideline, GuidelineAcceptance
from db.settings import REPOSITORY
from db.texts import storable

FIRST = REPOSITORY / "annotate_app" / "guidelines.md"
"""What version 1 says where nobody has written any."""
LONGEST = 40_000

# Built once: judging asks it every time.
_ACCEPTED = select(func.max(GuidelineAcceptance.version)).where(
    GuidelineAcceptance.annotator_id == bindparam("annotator")
)


def publish(session: Session, text: str, author: str) -> Guideline:
    """Make a text the current version. Everybody is asked (or offered) to accept it anew.

    Args:
        session: The session.
        text: Markdown.
        author: Who publishes it.

    Raises:
        Refused: It is empty, longer than 40,000 characters, or what the current version says.
    """
    kept = storable(text).replace("\r\n", "\n").strip()
    if not kept:
        raise Refused("the guidelines are empty; write what evaluators should go by")
    if len(kept) > LONGEST:
        raise Refused(f"the guidelines are longer than {LONGEST:,} characters; nobody reads that")
    newest = current(session)
    if newest is not None and newest.text == kept:
        raise Refused(f"version {newest.version} says exactly this; nothing was published")
    made = Guideline(
        version=1 if newest is None else newest.version + 1, text=kept, author=author[:120]
    )
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise Refused(
            f"somebody else published version {made.version} at this moment; read that one first"
        ) from None
    audit.record(session, author, "guidelines publish", f"version {made.version}")
    return made


def load_first(session: Session, path: Path = FIRST) -> Guideline | None:
    """Publish what ships with the project where there are no guidelines; else leave them be."""
    if current(session) is not None or not path.is_file():
        return None
    return publish(session, path.read_text(encoding="utf-8"), "PersonaLoop")


def current(session: Session) -> Guideline | None:
    """The newest version; None before there is one."""
    return session.scalar(select(Guideline).order_by(Guideline.version.desc()).limit(1))


def version(session: Session, number: int) -> Guideline:
    """One version.

    Raises:
        NotFound: There is none of this number.
    """
    found = session.get(Guideline, number)
    if found is None:
        raise NotFound(
            f"there is no version {number} of the guidelines; `personaloop guidelines versions`"
            " lists those there are"
        )
    return found


def versions(session: Session) -> list[Guideline]:
    """Every version, newest first."""
    return list(session.scalars(select(Guideline).order_by(Guideline.version.desc())))


def accepted(session: Session, annotator_id: int) -> int | None:
    """The newest version that this annotator accepted; None where none was."""
    return session.scalar(_ACCEPTED, {"annotator": annotator_id})


def accept(session: Session, annotator_id: int, number: int) -> None:
    """Note that an annotator read the current version and goes by it. Safe to repeat.

    Raises:
        Refused: A newer version was published meanwhile, or the account is switched off.
        NotFound: There is no such version or account.
    """
    lock_annotator(session, annotator_id)
    wanted = version(session, number)
    newest = current(session)
    if newest is not None and newest.version != wanted.version:
        raise Refused("The guidelines have just been renewed. Here is the new version.")
    if session.get(GuidelineAcceptance, (annotator_id, number)) is None:
        session.add(GuidelineAcceptance(annotator_id=annotator_id, version=number))
        session.flush()
