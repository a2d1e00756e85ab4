"""What an evaluator does on the label page, for the browser tests."""

from typing import Any

from sqlalchemy import select

from db.models import Annotator, Assignment, Judgment, Retraction
from db.session import readers

VERDICTS = ["A is much better", "A is better", "Tie", "B is better", "B is much better", "Both bad"]


def token_of(page: Any) -> str:
    """The assignment that is on screen."""
    return page.get_by_test_id("assignment").text_content()


def ready(page: Any) -> str:
    """Wait until a pair is shown and may be judged; its token."""
    page.locator('[data-verdict="a"][data-strength="1"][aria-disabled="false"]').wait_for()
    return token_of(page)


def next_pair(page: Any, after: str) -> str:
    """Wait until another pair than ``after`` is on screen; its token."""
    page.wait_for_function(
        "old => { const mark = document.querySelector('[data-testid=assignment]');"
        " return mark && mark.textContent !== old; }",
        arg=after,
    )
    return token_of(page)


def status(page: Any) -> Any:
    """The live region."""
    return page.get_by_role("status")


def judgments(database: str, name: str) -> list[tuple[str, str, int | None, bool]]:
    """This person's judgments, oldest first: token, verdict as shown, strength, stands."""
    with readers(database)() as session:
        rows = session.execute(
            select(Assignment, Judgment, Retraction.judgment_id)
            .join(Judgment, Judgment.assignment_id == Assignment.id)
            .join(Annotator, Annotator.id == Judgment.annotator_id)
            .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
            .where(Annotator.name == name)
            .order_by(Judgment.id)
        ).all()
    swap = {"a": "b", "b": "a"}
    found = []
    for assignment, judgment, retracted in rows:
        verdict = judgment.verdict.value
        if assignment.placement < 0:
            verdict = swap.get(verdict, verdict)
        found.append((assignment.token, verdict, judgment.strength, retracted is None))
    return found
