"""Patterns that are constants: which regular expressions are taken, and which patterns of LIKE."""

import pytest

from app.query.errors import NotUnderstood
from app.query.patterns import MAX_COST, check_like, check_regexp


@pytest.mark.parametrize(
    "pattern",
    [
        "", "a", ".", "a|b", "a||b", "()", "(a)(?:b)(?P<name>c)(?<name>d)", "(?i)a", "(?ims)a", "(?i-s)a", "(?-s)a",
        "a*", "a+?", "a??", "a{2}", "a{2,}", "a{0,255}?", "a{", "a{x}", "a{,2}", "}", "]", "[a-z]", "[]a]", "[^]a]",
        "[a-]", "[-a]", r"[\]\-\\]", "[[:alpha:]_]", "[.*+?(|]", r"\d\D\w\W\s\S", r"[\d\s]", r"\ba\B\A\z", r"\.\*\\\/",
        r"\t\n\r\f\v\a", r"\x41\x{1F994}", "é🦔", " # not a comment", f"a{{{MAX_COST - 45}}}", "^$", "(^)*", "[a]{3}",
    ],
)  # fmt: skip
def test_what_is_a_regular_expression(pattern: str) -> None:
    assert check_regexp(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "a '(' is not closed"),
        ("(a(b)", "a '(' is not closed"),
        (")", "a ')' closes nothing"),
        ("[a", "a '[' is not closed"),
        ("[]", "a '[' is not closed"),
        ("*", "'*' repeats nothing"),
        ("a**", "'*' repeats nothing"),
        ("a|*", "'*' repeats nothing"),
        ("(*a)", "'*' repeats nothing"),
        ("^*", "'*' repeats nothing"),
        (r"\b+", "'+' repeats nothing"),
        ("{2}", "'{2}' repeats nothing"),
        ("a{2}{3}", "'{3}' repeats nothing"),
        ("***:a", "'*' repeats nothing"),
        ("a{3,2}", "'{3,2}' counts backwards"),
        ("a{256}", "it can repeat something 255 times at most"),
        ("(a{100}){100}", "it is too large"),
        ("a" * (MAX_COST + 1), "it is too large"),
        ("[z-a]", "a range of characters goes from the lesser to the greater one"),
        (r"[\d-z]", "a range of characters goes from the lesser to the greater one"),
        ("[[:nothing:]]", "there is no such class of characters"),
        ("(?=a)", "groups can be (…), (?:…) and (?P<name>…)"),
        ("(?!a)", "groups can be (…), (?:…) and (?P<name>…)"),
        ("(?<=a)", "groups can be (…), (?:…) and (?P<name>…)"),
        ("(?i:a)", "groups can be (…), (?:…) and (?P<name>…)"),
        ("a(?i)", "groups can be (…), (?:…) and (?P<name>…)"),
        ("(?P<1>a)", "groups can be (…), (?:…) and (?P<name>…)"),
        (r"(a)\1", r"'\1' is not supported"),
        (r"\p{L}", r"'\p' is not supported"),
        (r"\Qa\E", r"'\Q' is not supported"),
        (r"\y", r"'\y' is not supported"),
        ("a\\", "'\\' is not supported"),
        (r"[\b]", r"'\b' is not supported"),
        (r"\x00", r"'\x00' is no character of a text"),
        (r"\x{D800}", r"'\x{D800}' is no character of a text"),
        (r"\x{110000}", r"'\x{110000}' is no character of a text"),
    ],
)
def test_what_is_none(pattern: str, reason: str) -> None:
    with pytest.raises(NotUnderstood) as raised:
        check_regexp(pattern)
    assert str(raised.value).endswith(f"cannot be used: {reason}")


def test_the_flag_that_turns_greed_around_is_refused() -> None:
    with pytest.raises(NotUnderstood, match="flag U"):
        check_regexp("(?U)a*")


@pytest.mark.parametrize(
    ("pattern", "normal"),
    [
        ("", ""),
        ("a%b_c", "a%b_c"),
        (r"\%\_\\", r"\%\_\\"),
        (r"\d", r"\\d"),
        ("a\\\nb", "a\\\\\nb"),
    ],
)
def test_backslashes_of_like_escape_what_they_stand_before_or_are_themselves(pattern: str, normal: str) -> None:
    assert check_like(pattern) == normal


@pytest.mark.parametrize("pattern", ["\\", "a\\", "a\\\\\\"])
def test_a_pattern_of_like_does_not_end_within_an_escape(pattern: str) -> None:
    with pytest.raises(NotUnderstood, match="escapes nothing"):
        check_like(pattern)
