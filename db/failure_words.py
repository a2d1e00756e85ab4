"""Words and reasons inside the ledger's texts, as SQL for both databases.

What a person types is looked for as it is written: a per cent sign or an underscore is one. Knows
no scope and no page.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, String, case, cast, func, or_, select
from sqlalchemy.orm import Session

from db.models import Prompt
from db.texts import storable

LONGEST_SEARCH = 200
"""Characters of a search that are used."""


def tidy(search: str) -> str:
    """What is looked for: on one line, no longer than is used, and nothing no text can have."""
    return storable(" ".join(search.split()))[:LONGEST_SEARCH].strip()


def pattern(search: str) -> str:
    """A LIKE pattern for texts that contain the search, with backslash as its escape."""
    for each in ("\\", "%", "_"):
        search = search.replace(each, "\\" + each)
    return f"%{search}%"


def matching(text: Any, search: str) -> ColumnElement[bool]:
    """Whether a text contains the search, whatever the case of its letters.

    SQLite (and PostgreSQL in the C locale) fold only ASCII letters, so that a search with others
    is also looked for in the ways in which they are mostly written.
    """
    ways = [search]
    if not search.isascii():
        ways += [search.lower(), search.upper(), search.capitalize(), search.title()]
    return or_(*(text.ilike(pattern(way), escape="\\") for way in dict.fromkeys(ways)))


def prompts_with(session: Session, search: str) -> Select[int]:
    """Ids of the prompts in whose turns the search occurs (not in their JSON's own words)."""
    turns, value = _elements(session, Prompt.messages, "turn")
    if _postgresql(session):
        content: Any = value.op("->>", return_type=String())("content")
    else:
        content = func.json_extract(value, "$.content", type_=String())
    return select(Prompt.id).join(turns, matching(content, search)).distinct()


def tag_values(session: Session, tags: Any) -> tuple[ColumnElement[str], FromClause]:
    """Each tag of a judgment's list as a row: its column, and what to join for it."""
    source, value = _elements(session, tags, "tag", as_text=True)
    return cast(value, String), source


def carries(tags: Any) -> ColumnElement[bool]:
    """Whether a list of tags has any."""
    return cast(tags, String).not_in(["[]", "null"])


def _elements(
    session: Session, column: Any, name: str, *, as_text: bool = False
) -> tuple[FromClause, Any]:
    """The elements of a JSON list as rows."""
    if _postgresql(session):
        whole = case(
            (func.json_typeof(column) == "array", column), else_=cast("[]", Prompt.tags.type)
        )
        make = func.json_array_elements_text if as_text else func.json_array_elements
        rows = make(whole).table_valued("value", name=name, joins_implicitly=True).render_derived()
    else:
        rows = func.json_each(column).table_valued("value", name=name, joins_implicitly=True)
    return rows, rows.c.value


def _postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
