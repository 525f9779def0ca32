"""Values of a statement that are no part of its text."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

PREFIX: Final = "batch_exports."


class Values:
    """Collects the values of one statement, and gives the SQL that stands for each.

    They go to the server as settings of the session: with a parameter in the query itself the driver would fetch the
    whole result before the first row. Each is read once per statement, not once per row: the planner makes an
    uncorrelated subquery a value before the first row.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []

    def text(self, value: str) -> str:
        """An expression of type ``text``."""
        return f"(SELECT {self._setting(value)})"

    def rows(self, values: Sequence[str]) -> str:
        """A subquery, without parentheses, of one ``text`` column."""
        return f"SELECT json_array_elements_text({self._setting(json.dumps(list(values)))}::json)"

    @property
    def settings(self) -> Mapping[str, str]:
        """By name, what the session has to be told before the statement."""
        return {f"{PREFIX}value_{number}": text for number, text in enumerate(self._texts)}

    def _setting(self, text: str) -> str:
        self._texts.append(text)
        return f"current_setting('{PREFIX}value_{len(self._texts) - 1}')"


def storable(text: str) -> bool:
    """Whether Postgres can hold it. What it cannot is equal to nothing that is stored."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
