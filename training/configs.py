"""Run configurations: frozen dataclasses read from YAML, every field known and checked.

Knows types and files. Does not know what a field does; each configuration checks its own ranges.
"""

import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from db.settings import REPOSITORY
from training.errors import ConfigRefused

CONFIGS = REPOSITORY / "configs"
Config = TypeVar("Config")


def load_config(
    kind: type[Config], path: Path, overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read a configuration.

    Args:
        kind: a frozen dataclass.
        path: a YAML file with its fields; fields that are not there keep their defaults.
        overrides: values that go before the file's; None values are passed over.

    Raises:
        ConfigRefused: the file cannot be read, a field is unknown, missing or of the wrong type;
            the message names file and field.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigRefused(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigRefused(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise ConfigRefused(f"{path}:{line}: not valid YAML") from error
    if not isinstance(raw, dict):
        raise ConfigRefused(f"{path}: must be `field: value` lines")
    given = {**raw, **{n: v for n, v in (overrides or {}).items() if v is not None}}
    return make_config(kind, given, where=str(path))


def make_config(kind: type[Config], given: Mapping[str, Any], where: str = "") -> Config:
    """A configuration from values, each checked against its field's type.

    Raises:
        ConfigRefused: as `load_config`.
    """
    place = f"{where}: " if where else ""
    types = typing.get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigRefused(f"{place}unknown field {unknown[0]!r}; known: {', '.join(known)}")
    values = {}
    for name, field in known.items():
        if name in given:
            values[name] = _checked(place + name, given[name], types[name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigRefused(f"{place}field {name!r} is missing")
    return kind(**values)


def _checked(name: str, value: Any, wanted: Any) -> Any:
    """The value as the wanted type; whole numbers are taken for decimals, nothing else is bent."""
    options = typing.get_args(wanted) or (wanted,)
    if value is None and type(None) in options:
        return None
    for option in options:
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if option in (int, str, bool) and type(value) is option:
            return value
    names = " or ".join("nothing" if o is type(None) else o.__name__ for o in options)
    raise ConfigRefused(f"{name} must be {names}, got {value!r}")


def in_range(config: object, name: str, low: float, high: float = float("inf")) -> None:
    """Refuse a number outside [low, high].

    Raises:
        ConfigRefused: naming field, value and range.
    """
    value = getattr(config, name)
    if not low <= value <= high:
        bounds = f"between {low:g} and {high:g}" if high != float("inf") else f"{low:g} or more"
        raise ConfigRefused(f"{name} must be {bounds}, got {value}")


def one_of(config: object, name: str, options: tuple[str, ...]) -> None:
    """Refuse a word that is none of the options.

    Raises:
        ConfigRefused: naming field, value and options.
    """
    if getattr(config, name) not in options:
        raise ConfigRefused(
            f"{name} must be one of {', '.join(options)}, got {getattr(config, name)!r}"
        )
