"""The expression tree: what HogQL and filters are parsed into, and what a source compiles to its own dialect.

Four kinds of nodes. Every node knows its type before a row is read. Names of functions are those of HogQL, operators
included (``plus``, ``equals``, ``and``), so a dialect needs one table of functions and nothing else.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Type(StrEnum):
    """What an expression yields; any may also be null."""

    STRING = "String"
    INTEGER = "Int64"
    FLOAT = "Float64"
    BOOLEAN = "Bool"
    DATETIME = "DateTime"
    DATE = "Date"
    UUID = "UUID"
    JSON = "JSON"
    STRINGS = "Array(String)"
    NULL = "Null"


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is bound, never written into a statement. Lists are lists of strings."""

    value: str | int | float | bool | datetime | date | tuple[str, ...] | None
    type: Type


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the ``events`` model."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Property:
    """What lies at a path within a JSON column, as text: strings without quotes, all else as it is written.

    Null where there is nothing, or JSON's ``null``. A number in the path is a place in a list, from 0.
    """

    column: Column
    path: tuple[str | int, ...]
    type: Type = Type.STRING


@dataclass(frozen=True, slots=True)
class Call:
    """A function of its arguments."""

    function: str
    arguments: "tuple[Expression, ...]"
    type: Type


Expression = Constant | Column | Property | Call


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a select list."""

    alias: str
    expression: Expression
