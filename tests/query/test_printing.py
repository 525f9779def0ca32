"""The normal form of HogQL."""

from hypothesis import assume, given, settings

from app.query.dialect import MAX_LENGTH, HogQL
from app.query.printing import hogql
from app.query.select import select_list
from app.query.tree import Column, Expression, Field, Property, Type
from tests.query.expressions import EXPRESSIONS, TEXTS


@settings(max_examples=100, deadline=None)
@given(expression=EXPRESSIONS, alias=TEXTS.filter(bool))
def test_the_normal_form_of_any_expression_is_read_as_the_same(expression: Expression, alias: str) -> None:
    normal = hogql([Field(alias, expression)])
    assume(len(normal) <= MAX_LENGTH)
    [read] = select_list(normal)
    assert (read.alias, read.expression.type) == (alias, expression.type)
    assert hogql([read]) == normal


@settings(max_examples=100, deadline=None)
@given(key=TEXTS)
def test_any_key_is_read_as_the_same(key: str) -> None:
    _assert_read(key)


def test_words_of_the_language_are_keys_and_names_like_any_others() -> None:
    for word in HogQL.Tokenizer.KEYWORDS:
        _assert_read(word)
        _assert_read(word.lower())


def _assert_read(key: str) -> None:
    column = Column("properties", Type.JSON)
    fields = (Field("x", Property(column, (key,))), Field(f"{key} ", Property(column, ("a", key, 0, key, -1))))
    assert select_list(hogql(fields)) == fields
