"""Values of rows as names of folders, the way Hive writes them and its readers read them: ``event=%24pageview``."""

import hashlib
from typing import Final
from urllib.parse import quote

NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
"""What readers take for nothing: a folder needs a name."""
LONGEST_WHOLE: Final = 160
"""Characters of a value, escaped, that is written whole."""
HASH_DIGITS: Final = 32
LONGEST: Final = LONGEST_WHOLE + 1 + HASH_DIGITS
"""With ``event=`` in front that is still a folder's name for every file system that objects may be copied to."""

FOLDER_NAME: Final = r"[A-Za-z0-9_.%-]+"
"""An expression that matches all of them."""


def folder_name(value: str) -> str:
    """Nothing but ``A-Z a-z 0-9 _ . -`` and ``%XX``, never empty, ``.`` or ``..``, and never the same for two values.

    What is longer than :data:`LONGEST_WHOLE` is cut between two characters, and has its hash behind it. No other value
    can have that name, for all that are not cut are shorter.
    """
    if not value:
        return NO_VALUE
    name = _escaped(value)
    if len(name) <= LONGEST_WHOLE:
        return name
    digest = hashlib.sha256(value.encode()).hexdigest()[:HASH_DIGITS]
    return f"{_beginning(value)}-{digest}"


def _escaped(value: str) -> str:
    name = quote(value, safe="").replace("~", "%7E")
    # Folders that lead elsewhere, and a text that would be read as nothing.
    if name in (".", "..", NO_VALUE):
        return f"%{ord(value[0]):02X}{name[1:]}".replace(".", "%2E")
    # Azure takes no folder whose name ends with a dot.
    return f"{name[:-1]}%2E" if name.endswith(".") else name


def _beginning(value: str) -> str:
    """As many characters as fit."""
    name = ""
    for character in value:
        escaped = quote(character, safe="").replace("~", "%7E")
        if len(name) + len(escaped) > LONGEST_WHOLE:
            break
        name += escaped
    return name
