"""HogQL for sqlglot: its own tokens and operators, and no function that the parser would know better than we do."""

from itertools import pairwise
from typing import ClassVar, Final

from sqlglot import exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from app.query.errors import NotParsed

MAX_LENGTH: Final = 20_000
"""Characters. Parsing takes the time of the event loop, and grows with them."""

_JSON_OPERATORS: Final = ("->", "->>", "#>", "#>>", "@>", "<@", "?|", "?&")
_OPENING: Final = {TokenType.L_PAREN, TokenType.L_BRACKET}
_CLOSING: Final = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.COMMA}


class HogQL(Dialect):
    class Tokenizer(tokens.Tokenizer):
        IDENTIFIERS: ClassVar = ['"', "`"]
        IDENTIFIER_ESCAPES: ClassVar = ["\\", '"', "`"]
        STRING_ESCAPES: ClassVar = ["'", "\\"]
        # Without other dialects' operators on JSON, whose paths the parser reads, and logs what it cannot.
        KEYWORDS: ClassVar = {
            **{word: kind for word, kind in tokens.Tokenizer.KEYWORDS.items() if word not in _JSON_OPERATORS},
            "=~": TokenType.RLIKE,
        }

    class Parser(parser.Parser):
        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {"CAST": parser.Parser.FUNCTION_PARSERS["CAST"]}
        NO_PAREN_FUNCTIONS: ClassVar = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {"CASE": parser.Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]}
        # Or properties.array[1] would be an array of one number.
        ARRAY_CONSTRUCTORS: ClassVar = {}
        # Operators are functions too: and(a, b), in(a, tuple(b)).
        FUNC_TOKENS: ClassVar = parser.Parser.FUNC_TOKENS | {
            TokenType.AND,
            TokenType.BETWEEN,
            TokenType.OR,
            TokenType.IN,
            TokenType.LIKE,
            TokenType.ILIKE,
        }


def parse_select(text: str) -> exp.Select | exp.SetOperation:
    """:raises NotParsed: for anything but one SELECT, or several united."""
    statement = _statement(text, {TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN})
    while isinstance(statement, exp.Subquery) and not statement.args.get("alias"):
        statement = statement.this
    if isinstance(statement, exp.Select | exp.SetOperation) and (statement.expressions or statement.args.get("this")):
        return statement
    raise NotParsed("There is no SELECT with a list of columns")


def parse_expression(text: str) -> exp.Expr:
    """:raises NotParsed: for anything but one expression."""
    select = _statement(f"SELECT {text}\n", {TokenType.SELECT})
    rest = {name: value for name, value in select.args.items() if value and name != "expressions"}
    if not isinstance(select, exp.Select) or rest or len(select.expressions) != 1:
        raise NotParsed("There is more, or less, than one expression")
    expression: exp.Expr = select.expressions[0]
    if isinstance(expression, exp.Alias | exp.Aliases | exp.Star):
        raise NotParsed("There is more than an expression")
    return expression


def _statement(text: str, beginnings: set[TokenType]) -> exp.Expr:
    if len(text) > MAX_LENGTH:
        raise NotParsed(f"It is longer than {MAX_LENGTH} characters")
    dialect = HogQL()
    try:
        found = dialect.tokenize(text)
        while found and found[-1].token_type == TokenType.SEMICOLON:
            found.pop()
        if not found or found[0].token_type not in beginnings or _has_gap(found):
            raise NotParsed("It is not a query")
        if any(one.token_type == TokenType.SEMICOLON for one in found):
            raise NotParsed("There is more than one statement")
        [statement] = dialect.parser().parse(found, text)
    except (SqlglotError, RecursionError) as error:
        # What the library says of it marks places with terminal colours, and is not for a JSON answer.
        raise NotParsed(type(error).__name__) from None
    if statement is None:
        raise NotParsed("It is not a query")
    return statement


def _has_gap(found: list[Token]) -> bool:
    """A comma with nothing before or after it: the parser reads over those."""
    kinds = [one.token_type for one in found]
    return kinds[1:2] == [TokenType.COMMA] or any(
        (one == TokenType.COMMA and other in _CLOSING) or (one in _OPENING and other == TokenType.COMMA)
        for one, other in pairwise(kinds)
    )
