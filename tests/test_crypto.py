"""Documents at rest: their types, and their keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.crypto import Cipher, new_key
from app.errors import SetupError

OLD, NEW = new_key(), new_key()

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.dictionaries(
    st.text(), st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
)


def cipher(*keys: str) -> Cipher:
    return Cipher([SecretStr(key) for key in keys])


def typed(value: object) -> object:
    """With types, which ``==`` does not tell apart: 1, 1.0 and True are equal."""
    match value:
        case dict():
            return {key: typed(item) for key, item in value.items()}
        case list():
            return [typed(item) for item in value]
        case _:
            return type(value), value


@given(documents)
def test_a_document_comes_back_with_its_types(document: dict[str, object]) -> None:
    assert typed(cipher(NEW).open(cipher(NEW).seal(document))) == typed(document)


def test_the_types_of_json_survive() -> None:
    document = {
        "int": 5432,
        "big": 2**70,
        "bool": True,
        "float": 1.0,
        "null": None,
        "text": "5432",
        "unicode": "ключ \U0001f511 \ud800",
        "nested": {"list": [0, False, "", {}, []], "": {"true": "true"}},
    }
    assert typed(cipher(NEW).open(cipher(NEW).seal(document))) == typed(document)


def test_neither_values_nor_keys_can_be_read() -> None:
    sealed = cipher(NEW).seal({"password": "hunter2"})
    assert b"password" not in sealed
    assert b"hunter2" not in sealed


def test_older_keys_open_and_the_newest_seals() -> None:
    sealed = cipher(OLD).seal({"a": 1})
    both = cipher(NEW, OLD)
    assert both.open(sealed) == {"a": 1}
    assert (both.is_current(sealed), both.is_current(both.seal({}))) == (False, True)
    rotated = both.rotate(sealed)
    assert cipher(NEW).open(rotated) == {"a": 1}
    assert cipher(NEW).is_current(rotated)


def test_a_missing_key_is_told_without_the_document() -> None:
    sealed = cipher(OLD).seal({"a": 1})
    for use in (cipher(NEW).open, cipher(NEW).rotate):
        with pytest.raises(SetupError, match="the key they were stored with is not in BATCH_EXPORTS_ENCRYPTION_KEYS"):
            use(sealed)
    with pytest.raises(SetupError, match="cannot be decrypted"):
        cipher(OLD).open(sealed[:-1] + b"?")


@pytest.mark.parametrize("key", ["", "short", "é" * 44, "A" * 43])
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(SetupError, match="32 url-safe base64-encoded bytes") as refused:
        cipher(NEW, key)
    assert not key or key not in str(refused.value)
