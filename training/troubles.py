"""What went wrong under a job: whether trying again can help, and what a person reads of it.

Knows errors by kind, status and cause. Does not know jobs. tinker's errors are looked at without
importing it.
"""

import errno
from collections.abc import Iterator

from db.errors import PersonaLoopError
from training.errors import ServiceGone

PASSING = frozenset({404, 408, 409, 410, 425, 429})
"""Statuses below 500 that pass by themselves or with a new client: 404 and 410 are what an engine
says that was started anew and knows the old one's models and requests no more."""
LOST = frozenset(
    {"APIConnectionError", "RetryableException", "HTTPError", "ConnectionError", "URLError"}
)
"""Kinds of errors of a wire that broke, from whichever library."""
FORGOTTEN = ("any more", "unknown here", "expired", "are gone")
"""How an engine says that it had something once."""
NO_SPACE = ("No space left on device", "database or disk is full")


def service_trouble(error: BaseException) -> bool:
    """Whether an error is the service's going away, so that taking the job up again can help.

    A refusal (a wrong key, no payment, a request that can never be right) is none, and neither is
    a full disk: the same would happen again. A client that another error poisoned is one: the next
    attempt connects anew and goes on from the last checkpoint.
    """
    if isinstance(error, ServiceGone):
        return True
    if isinstance(error, PersonaLoopError) or disk_full(error):
        return False
    if poisoned(error):
        return all(service_trouble(each) for each in _causes(error) if not poisoned(each))
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status >= 500 or status in PASSING
    if "RequestFailedError" in kinds:
        category = getattr(error, "category", None)
        mine = str(getattr(category, "value", category)).lower() == "user"
        return not mine or any(words in str(error) for words in FORGOTTEN)
    return bool(kinds & LOST) or kinds >= {"TinkerError"}


def poisoned(error: BaseException) -> bool:
    """Whether a client says that an earlier request of its failed, and that it takes no more."""
    return "poisoned" in str(error)


def disk_full(error: BaseException) -> bool:
    """Whether something could not be written because there was no space: here or at the engine."""
    for each in (error, *_causes(error)):
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(each) for words in NO_SPACE):
            return True
    return False


def reason(error: Exception) -> str | None:
    """What a person reads of an error that has a known remedy; None where nobody foresaw it."""
    if isinstance(error, PersonaLoopError):
        return str(error)
    if disk_full(error):
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        return (
            f"the disk is full{where}; free some space and ask again: what was saved is kept and "
            "the run goes on from there"
        )
    return None


def one_line(error: Exception) -> str:
    """An error in one line, with what caused it where it only says that something did."""
    told = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    causes = [each for each in _causes(error) if not poisoned(each)]
    if poisoned(error) and causes:
        told += f" ({type(causes[0]).__name__}: {(str(causes[0]).splitlines() or [''])[0]})"
    return told


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    at = error.__cause__ or error.__context__
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
