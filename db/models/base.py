"""What every table shares: the declarative base and enums stored by value."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, Enum, MetaData
from sqlalchemy.orm import DeclarativeBase

from db.clock import UTCDateTime


class Base(DeclarativeBase):
    """Declarative base with stable constraint names, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UTCDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


def _values(members: type[StrEnum]) -> list[str]:
    return [member.value for member in members]


def by_value(enum: type[StrEnum]) -> Enum:
    """A column type that stores a StrEnum's values as text, held to them by a CHECK constraint."""
    return Enum(
        enum,
        values_callable=_values,
        native_enum=False,
        create_constraint=True,
        validate_strings=True,
        length=32,
        name=enum.__name__.lower(),
    )
