"""Reading JSON requests: every field by its type, every mistake named. Knows no meanings."""

import json
from collections.abc import Sequence
from typing import Any

from training.engine.errors import BadRequest

_MISSING = object()
MAX_NUMBER = 1.7e308


class Fields:
    """A JSON object whose fields are read by type.

    A field that is null counts as missing, as the SDK leaves such fields out; not so a number.
    """

    def __init__(self, value: Any, where: str = ""):
        if not isinstance(value, dict):
            raise BadRequest(f"{where or 'the body'}: expected a JSON object")
        self._value = value
        self._where = f"{where}." if where else ""

    @classmethod
    def parse(cls, body: bytes) -> "Fields":
        """Read a request's body (empty: an empty object)."""
        try:
            return cls(json.loads(body) if body else {})
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from error

    def _get(self, name: str, default: Any) -> Any:
        value = self._value.get(name)
        if value is None:
            if default is _MISSING:
                raise BadRequest(f"{self._where}{name} is missing")
            return default
        return value

    def _typed(self, name: str, default: Any, kind: type | tuple[type, ...], what: str) -> Any:
        value = self._get(name, default)
        if value is default:
            return value
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise BadRequest(f"{self._where}{name}: expected {what}, got {value!r:.80}")
        return value

    def raw(self, name: str) -> Any:
        """The field as it is, None when it is missing."""
        return self._value.get(name)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._value.get(name) is not None

    def text(self, name: str, default: Any = _MISSING) -> Any:
        """A string."""
        return self._typed(name, default, str, "a string")

    def flag(self, name: str, default: Any = _MISSING) -> Any:
        """A boolean."""
        return self._typed(name, default, bool, "true or false")

    def integer(
        self, name: str, default: Any = _MISSING, *, low: int | None = None, high: int | None = None
    ) -> Any:
        """An integer within bounds."""
        value = self._typed(name, default, int, "an integer")
        if value is not default:
            self._bounds(name, value, low, high)
        return value

    def number(
        self,
        name: str,
        default: Any = _MISSING,
        *,
        low: float | None = None,
        high: float | None = None,
    ) -> Any:
        """A finite number within bounds."""
        if name in self._value and self._value[name] is None:
            # The SDK leaves out what was not set, so this was NaN or inf, which JSON lacks.
            raise BadRequest(f"{self._where}{name}: null (or NaN, or inf) is not a finite number")
        value = self._typed(name, default, (int, float), "a number")
        if value is default:
            return value
        if not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise BadRequest(f"{self._where}{name}: {value!r:.80} is not a finite number")
        self._bounds(name, value, low, high)
        return float(value)

    def _bounds(self, name: str, value: float, low: float | None, high: float | None) -> None:
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f"at least {low}" if high is None else f"from {low} to {high}"
            raise BadRequest(f"{self._where}{name}: {value} is out of range, must be {bounds}")

    def object(self, name: str) -> "Fields":
        """A nested object."""
        return Fields(self._get(name, _MISSING), f"{self._where}{name}")

    def items(self, name: str, default: Any = _MISSING) -> Any:
        """A list."""
        return self._typed(name, default, list, "a list")

    def strings(self, name: str) -> dict[str, str] | None:
        """An object of strings, or None; other values are written as JSON."""
        value = self._typed(name, None, dict, "an object")
        if value is None:
            return None
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in value.items()}


def integers(where: str, values: Sequence[Any]) -> list[int]:
    """A list of integers.

    Raises:
        BadRequest: something else is in it.
    """
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadRequest(f"{where}: expected integers, got {value!r:.80}")
    return list(values)
