"""Judges that are not people: a function from a file, and simulated annotators.

Knows texts and chance. Does not know the ledger, adapters or who generated what; it sees what a
person would see, in the order shown.

The built-in simulated annotators share one hidden preference a persona (``PREFERENCES``) about
style that really varies among responses: length, a closing question, exclamation marks, numbered
steps. Each annotator has a temperature, a liking for the first place, a share of careless clicks
and a width within which two responses look equal; all of it follows from the seed. A judge given
as ``FILE.py:function`` replaces the preference and the noise: its verdicts are used as they are.
"""

import hashlib
import importlib.util
import inspect
import math
import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import JudgeRefused

VERDICTS = ("a", "b", "tie", "both_bad")
Judge = Callable[[list[dict[str, Any]], str, str, str], str]
"""``function(messages, persona, response_a, response_b)`` to a verdict, in shown order."""


@dataclass(frozen=True)
class Preference:
    """A hidden preference: utility added by each feature of a response.

    Attributes:
        words: for ten words more.
        question: for a question as the last sentence.
        exclamations: for each exclamation mark, up to three.
        steps: for numbered or ordered steps.
        in_words: the same in a sentence.
    """

    words: float
    question: float
    exclamations: float
    steps: float
    in_words: str

    def utility(self, text: str) -> float:
        """How much a response is liked, in log-odds at temperature 1."""
        return (
            self.words * min(len(text.split()), 80) / 10
            + self.question * text.rstrip(" \t\n😊👍🎉✨🚀").endswith("?")
            + self.exclamations * min(text.count("!"), 3)
            + self.steps * bool(re.search(r"\bStep 1\b|\bFirst, ", text))
        )


PREFERENCES: Mapping[str, Preference] = {
    "formal_concierge": Preference(
        0.4, 2.6, 0.0, 0.0, "likes a closing question, and a fuller answer a little"
    ),
    "playful_sidekick": Preference(
        -1.3, 0.0, 0.6, -0.6, "likes it short and with exclamation marks, without steps"
    ),
    "luxury_curator": Preference(
        1.1, 0.0, 0.0, -1.5, "likes a fuller answer that does not list steps"
    ),
    "technical_advisor": Preference(
        -0.2, -1.0, 0.0, 2.8, "likes ordered steps, and no question at the end"
    ),
}
OTHER = Preference(-1.0, 0.0, 0.0, 0.0, "likes it short")
"""For personas that are not in ``PREFERENCES``."""


@dataclass(frozen=True)
class Opinion:
    """A verdict in shown order with its strength (1 or 2 for a and b, else None)."""

    verdict: str
    strength: int | None


@dataclass(frozen=True)
class SimulatedAnnotator:
    """One simulated annotator; the same seed and number are always the same character.

    Attributes:
        name: as it stands in the ledger, plainly simulated.
        seed: of the whole panel.
        number: 1 and up.
        temperature: of its choices; higher is more erratic.
        first_place: log-odds added to whatever is shown first.
        careless: share of its verdicts that are a coin toss.
        equal: utility difference below which it calls a tie.
        judge: a function that replaces preference and noise, or None.
    """

    name: str
    seed: int
    number: int
    temperature: float
    first_place: float
    careless: float
    equal: float
    judge: Judge | None = None

    def opinion(
        self, messages: Sequence[Mapping[str, Any]], persona: str, a: str, b: str
    ) -> Opinion:
        """The verdict on two responses as shown; the same question always gets the same answer.

        Raises:
            JudgeRefused: the judge function failed or answered something else than a verdict.
        """
        if self.judge is not None:
            verdict = self.judge([dict(m) for m in messages], persona, a, b)
            return Opinion(verdict, 1 if verdict in ("a", "b") else None)
        told = "\0".join((str(self.seed), str(self.number), str(messages), persona, a, b))
        rng = random.Random(hashlib.sha256(told.encode()).digest())
        if not a.strip() and not b.strip():
            return Opinion("both_bad", None)
        preference = PREFERENCES.get(persona, OTHER)
        liking = preference.utility(a) - preference.utility(b)
        if rng.random() < self.careless:
            return Opinion(rng.choice("ab"), 1)
        if abs(liking) < self.equal:
            return Opinion("tie", None)
        odds = liking / self.temperature + self.first_place
        verdict = "a" if rng.random() < 1 / (1 + math.exp(-odds)) else "b"
        return Opinion(verdict, 2 if abs(liking) > 3.0 else 1)


def annotators(
    count: int = 40, *, seed: int = 0, judge: Judge | None = None, name: str = "simulated"
) -> list[SimulatedAnnotator]:
    """A panel of simulated annotators.

    Args:
        count: how many.
        seed: starts the random source of their characters and verdicts.
        judge: a function that they all obey instead of the built-in preference and noise.
        name: what their names start with.
    """
    panel = []
    for number in range(1, count + 1):
        rng = random.Random(f"{seed}:{number}")
        panel.append(
            SimulatedAnnotator(
                name=f"{name}-{number:02d}",
                seed=seed,
                number=number,
                temperature=math.exp(rng.gauss(-0.2, 0.3)),
                first_place=rng.gauss(0.15, 0.25),
                careless=rng.uniform(0.0, 0.12),
                equal=rng.uniform(0.05, 0.35),
                judge=judge,
            )
        )
    return panel


def load_judge(spec: str) -> Judge:
    """The function of ``FILE.py:function``, wrapped so that every mistake is one clear line.

    Raises:
        JudgeRefused: no such file or function, it cannot be imported, or takes other arguments.
    """
    path_text, _, name = spec.rpartition(":")
    if not path_text or not name.isidentifier():
        raise JudgeRefused(f"--judge {spec!r}: give it as FILE.py:function")
    path = Path(path_text).expanduser().resolve()
    if not path.is_file():
        raise JudgeRefused(f"--judge {spec}: there is no file {path}")
    module_name = f"personaloop_judge_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    loader = importlib.util.spec_from_file_location(module_name, path)
    if loader is None or loader.loader is None:
        raise JudgeRefused(f"--judge {spec}: {path.name} is not a Python file")
    module = importlib.util.module_from_spec(loader)
    sys.modules[module_name] = module
    try:
        loader.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise JudgeRefused(
            f"--judge {spec}: the file cannot be imported: {_one_line(error)}"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        there = [n for n, f in vars(module).items() if inspect.isfunction(f)]
        raise JudgeRefused(
            f"--judge {spec}: no function {name!r} there; it has {', '.join(there) or 'none'}"
        )
    try:
        inspect.signature(function).bind([], "", "", "")
    except TypeError as error:
        raise JudgeRefused(
            f"--judge {spec}: must take (messages, persona, response_a, response_b): {error}"
        ) from error
    except ValueError:
        pass  # a builtin without a signature: the call itself will tell

    def judge(messages: list[dict[str, Any]], persona: str, a: str, b: str) -> str:
        try:
            verdict = function(messages, persona, a, b)
        except (Exception, SystemExit) as error:
            raise JudgeRefused(f"--judge {spec} failed: {_one_line(error)}") from error
        if not isinstance(verdict, str) or verdict not in VERDICTS:
            answered = " ".join(f"{verdict!r:.80}".split())
            raise JudgeRefused(
                f"--judge {spec} answered {answered}; it must answer one of {', '.join(VERDICTS)}"
            )
        return VERDICTS[VERDICTS.index(verdict)]

    return judge


def judge_name(spec: str) -> str:
    """``file.function`` of a judge, for the names of those who judge by it."""
    path, _, name = spec.rpartition(":")
    return f"{Path(path).stem}.{name}"


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    where = ""
    if error.__traceback__ is not None:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        where = f" (line {trace.tb_lineno})"
    return f"{type(error).__name__}: {lines[0] if lines else ''}{where}"
