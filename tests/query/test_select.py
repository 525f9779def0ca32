"""Select lists: what is refused, in which words, and what is read into which columns of which types."""

import pytest

from app.errors import ValidationFailed
from app.query.columns import COLUMNS, UNREADABLE
from app.query.functions import ALIASES, FUNCTIONS, canonical
from app.query.printing import hogql, schema
from app.query.select import MOST_FIELDS, select_list
from app.query.tree import Type

PARSE = "Failed to parse query"
UNSUPPORTED = "Unsupported HogQL query"
OTHER = "Query must only SELECT FROM events"
SUBQUERY = "Subqueries in SELECT expressions are not supported"
PREFIX = "Invalid HogQL query: "
PLACEHOLDER = f"{PREFIX}Placeholders are not supported"


def unreadable(*names: str) -> str:
    return (
        f"Batch exports cannot read these fields: {', '.join(names)}. Supported fields are: created_at, distinct_id, "
        "elements_chain, event, person_id, person_properties, properties, team_id, timestamp, uuid."
    )


def one(expression: str) -> str:
    return f"SELECT {expression} FROM events"


REFUSED = {
    PARSE: [
        "", " ", "SELECT", "SELECT FROM events", "SELECT event,, FROM events", "SELECT ,event FROM events",
        "SELECT lower(event,) FROM events", "SELECT lower(,event) FROM events", "SELECT event FROM", "event", "5",
        "SELECT event FROM events; SELECT event FROM events", "SELECT event FROM events; DROP TABLE events",
        "DROP TABLE events", "DELETE FROM events", "INSERT INTO events SELECT 1", "EXPLAIN SELECT event FROM events",
        "SELECT 'open FROM events", "SELECT event FROM events /* open", "SELECT (event FROM events", "SELECT event)",
        "SELECT event event event FROM events", "SELECT 1 + FROM events", "SELECT event FROM events SAMPLE 0.1",
        "SELECT lower(event FROM events", "SELECT event -> 'a' FROM events", "SHOW TABLES", "\ufeff;", ";",
        f"SELECT {'(' * 5000}event{')' * 5000} FROM events", f"SELECT {'not ' * 4000} true FROM events",
    ],
    "UNIONs are not supported": [
        "SELECT event FROM events UNION ALL SELECT event FROM events", "SELECT 1 UNION SELECT 2",
        "SELECT event FROM events EXCEPT SELECT event FROM events", "SELECT event FROM events INTERSECT SELECT 'x'",
        "(SELECT event FROM events UNION DISTINCT SELECT event FROM events)",
    ],
    "Query must SELECT FROM events": ["SELECT 1", "SELECT event", "SELECT event WHERE 1 = 1", "(SELECT 1)"],
    "CTEs are not supported": ["WITH x AS (SELECT 1) SELECT event FROM events", "WITH e AS (SELECT 1) SELECT 1 FROM e"],
    "Subqueries are not supported": [
        "SELECT event FROM (SELECT event FROM events)", "SELECT event FROM (SELECT event FROM events) AS events",
    ],
    OTHER: [
        "SELECT event FROM persons", "SELECT event FROM EVENTS", "SELECT event FROM default.events",
        "SELECT number FROM numbers(10)", "SELECT event FROM events()", "SELECT event FROM persons AS events",
        "SELECT event FROM events.events", "SELECT 1 FROM (VALUES (1))",
        "SELECT event FROM `events.events`",
    ],
    "JOINs are not supported": [
        "SELECT event FROM events JOIN persons ON true", "SELECT event FROM events, persons",
        "SELECT event FROM events AS e LEFT JOIN persons AS p ON e.distinct_id = p.id",
        "SELECT event FROM events CROSS JOIN events AS other",
    ],
    SUBQUERY: [
        one("(SELECT 1)"), one("event, lower((SELECT event FROM events))"), one("event IN (SELECT event FROM events)"),
        one("exists(SELECT 1)"), one("if(1 = 1, [(SELECT 1)][1], 'x')"), one("(SELECT 1 UNION SELECT 2)"),
        one("unknown + (SELECT 1)"),
    ],
    UNSUPPORTED: [
        "SELECT DISTINCT event FROM events", "SELECT event FROM events GROUP BY event",
        "SELECT event FROM events HAVING event = 'x'", "SELECT event FROM events QUALIFY true",
        "SELECT event FROM events WINDOW w AS (PARTITION BY event)", "SELECT event INTO other FROM events",
        "SELECT event FROM events TABLESAMPLE (10)",
    ],
    unreadable("$session_id", "person", "session"): [one("event, session.id, $session_id, lower(person)")],
    **{unreadable(name): [one(f"lower(`{name}`)")] for name in sorted(UNREADABLE)},
    PLACEHOLDER: [one("{event}"), one("{data_interval_start}"), one("?"), one(":event"), one("@event")],
    f"{PREFIX}Unable to resolve field: unknown_field": [
        one("unknown_field"), one("event, unknown_field.x, other"), one("lower(unknown_field)"), one("e.unknown_field"),
    ][:3],
    f"{PREFIX}Unable to resolve field: Event": [one("Event")],
    f"{PREFIX}Unable to resolve field: e": [one("e.event")],
    f"{PREFIX}Unable to resolve field: n": [one("n * 2, 1 AS n")],
    f"{PREFIX}Unable to resolve field: day": [one("day"), one("dateDiff(timestamp, day, day)")],
    f"{PREFIX}Unsupported function call 'count(...)'": [one("count()"), one("count(*)"), one("count(DISTINCT event)")],
    f"{PREFIX}Unsupported function call 'now(...)'": [one("now()")],
    f"{PREFIX}Unsupported function call 'pg_sleep(...)'": [one("pg_sleep(10)")],
    f"{PREFIX}Unsupported function call 'loewr(...)'. Perhaps you meant 'lower(...)'?": [one("loewr(event)")],
    f"{PREFIX}lower() takes 1 argument, not 2": [one("lower(event, event)")],
    f"{PREFIX}lower() takes 1 argument, not 0": [one("lower()")],
    f"{PREFIX}substring() takes 2 to 3 arguments, not 1": [one("substring(event)")],
    f"{PREFIX}concat() takes 1 or more arguments, not 0": [one("concat()")],
    f"{PREFIX}multiIf() takes conditions, each with a value, and a value for all else": [one("multiIf(true, 1)")],
    f"{PREFIX}There are two columns named 'event'": [one("event, event"), one("*, event"), one("event, 1 AS event")],
    f"{PREFIX}A column needs a name; give it one with AS": [one("''"), one("event AS ``")],
    f"{PREFIX}DateTime cannot be compared with Int64; convert one, as by toString()": [one("timestamp > 5")],
    f"{PREFIX}DateTime cannot be used as Float64": [one("timestamp * 2"), one("sqrt(timestamp)")],
    f"{PREFIX}plus() does not take DateTime and String": [one("timestamp + 'x'")],
    f"{PREFIX}String and Int64 cannot be values of the same expression; convert one, as by toString()": [
        one("if(true, 'a', 1)"), one("coalesce(properties.x, 0)"),
    ],
    f"{PREFIX}toInt() does not take UUID": [one("toInt(uuid)"), one("uuid::Int64")],
    f"{PREFIX}Array(String) has no order": [one("['a'] < ['b']")],
    f"{PREFIX}JSON has no order": [one("greatest(properties, person_properties)")],
    f"{PREFIX}'yesterday' cannot be read as DateTime": [one("timestamp > 'yesterday'")],
    f"{PREFIX}'2026-02-30' cannot be read as Date": [one("toDate(timestamp) = '2026-02-30'")],
    f"{PREFIX}'many' cannot be read as Float64": [one("1 + 'many'"), one("5 > 'many'")],
    f"{PREFIX}There is no time zone 'Mars/Olympus'": [one("toDate(timestamp, 'Mars/Olympus')")],
    f"{PREFIX}toDate() needs a constant for its time zone": [one("toDate(timestamp, event)")],
    f"{PREFIX}match() needs a constant for its regular expression": [one("match(event, properties.x)")],
    f"{PREFIX}like() needs a constant for its pattern": [one("event LIKE properties.x")],
    f"{PREFIX}What stands in brackets behind a property must be a constant": [one("properties[event]")],
    f"{PREFIX}Places in a list count from 1, and from -1 at its end": [
        one("properties.list[0]"), one("JSONExtractString(properties, 0)"),
    ],
    f"{PREFIX}String has nothing within it; JSON in text is read by JSONExtractString()": [
        one("event.x"), one("event[1]"), one("lower(event).x"),
    ],
    f"{PREFIX}IN needs a list of values": [one("event IN (NULL)")],
    f"{PREFIX}1e999 is too large for a number": [one("1e999")],
    f"{PREFIX}'1e' is no number": [one("1e - 5")],
    f"{PREFIX}The expression is too large, or nested too deeply": [
        one(f"{' + '.join(['1'] * 80)}"), one("- " * 61 + "team_id"),
    ],
    f"{PREFIX}There are more than {MOST_FIELDS} columns": [
        one(", ".join(f"1 AS c{number}" for number in range(MOST_FIELDS + 1))),
    ],
    f"{PREFIX}A value can be cast to String, Int64, Float64, Bool, DateTime, Date and UUID": [
        one("event::JSON"), one("CAST(event AS Array(String))"),
    ],
    f"{PREFIX}There is no unit of time 'century'; there are: second, minute, hour, day, week, month, quarter, year": [
        one("dateTrunc('century', timestamp)"),
    ],
    f"{PREFIX}'%Q' is no part of a format; there are: %Y %y %m %d %H %i %S %f %F %T %R %j %G %V %u %%": [
        one("formatDateTime(timestamp, '%Q')"),
    ],
    f"{PREFIX}Unsupported expression: window": [one("sum(team_id) OVER ()"), one("lower(event) OVER ()")],
    f"{PREFIX}An interval is added to a time, or taken from it: timestamp + INTERVAL 1 DAY": [
        one("INTERVAL 1 DAY - timestamp"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "detail"),
    [(query, detail) for detail, queries in REFUSED.items() for query in queries],
    ids=lambda t: t[:60],
)
def test_a_query_is_refused_in_these_words(query: str, detail: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        select_list(query)
    assert raised.value.body() == {
        "type": "validation_error", "code": "invalid_input", "detail": detail, "attr": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("item", "alias", "kind", "printed"),
    [
        ("event", "event", Type.STRING, "event"),
        ("e.event", "event", Type.STRING, "event"),
        ("events.event", "event", Type.STRING, "event"),
        ("`event`", "event", Type.STRING, "event"),
        ('"event"', "event", Type.STRING, "event"),
        ("uuid", "uuid", Type.UUID, "uuid"),
        ("properties", "properties", Type.JSON, "properties"),
        ("person.id", "person_id", Type.UUID, "person_id"),
        ("person.properties.email", "email", Type.STRING, "person_properties.email"),
        ("properties.$browser", "$browser", Type.STRING, "properties.$browser"),
        ("properties['a b']", "a b", Type.STRING, "properties['a b']"),
        ("properties.a.b['c'][2]", "properties.a.b.c[2]", Type.STRING, "properties.a.b.c[2]"),
        ("properties.array[1]", "properties.array[1]", Type.STRING, "properties.array[1]"),
        ("1", "1", Type.INTEGER, "1 AS `1`"),
        ("-1", "-1", Type.INTEGER, "-1 AS `-1`"),
        ("'hello'", "hello", Type.STRING, "'hello' AS hello"),
        ("3.14", "3.14", Type.FLOAT, "3.14 AS `3.14`"),
        ("NULL", "NULL", Type.NULL, "NULL AS NULL"),
        ("true", "1", Type.BOOLEAN, "true AS `1`"),
        ("1 + 1", "plus(1, 1)", Type.INTEGER, "plus(1, 1)"),
        ("1 + 1.5 AS x", "x", Type.FLOAT, "plus(1.0, 1.5) AS x"),
        ("1 / 2 half", "half", Type.FLOAT, "divide(1.0, 2.0) AS half"),
        ("properties.n + 1 AS x", "x", Type.FLOAT, "plus(toFloat(properties.n), 1.0) AS x"),
        ("TOINT(properties.n) AS `a b`", "a b", Type.INTEGER, "toInt(properties.n) AS `a b`"),
        ("event AS `back``tick`", "back`tick", Type.STRING, "event AS `back\\`tick`"),
        ("event AS \"double\\\"quote\"", 'double"quote', Type.STRING, 'event AS `double"quote`'),
        ("event AS `select`", "select", Type.STRING, "event AS `select`"),
        ("event IN ('a', 'b') AS x", "x", Type.BOOLEAN, "in(event, tuple('a', 'b')) AS x"),
        ("event NOT IN 'a' AS x", "x", Type.BOOLEAN, "notIn(event, tuple('a')) AS x"),
        ("event || 1 || NULL AS x", "x", Type.STRING, "concat(event, toString(1), NULL) AS x"),
        ("true AND event = 'x' AND 1 AS x", "x", Type.BOOLEAN, "and(true, equals(event, 'x'), toBool(1)) AS x"),
        ("timestamp - INTERVAL 2 MONTH AS x", "x", Type.DATETIME, "subtractMonths(timestamp, 2) AS x"),
        ("timestamp - timestamp AS x", "x", Type.INTEGER, "dateDiff('second', timestamp, timestamp) AS x"),
        ("toDate(timestamp) + 7 AS x", "x", Type.DATE, "addDays(toDate(timestamp), 7) AS x"),
        ("['a', event] AS x", "x", Type.STRINGS, "array('a', event) AS x"),
        ("JSONExtract(properties, 'l', 'Array(String)') AS x", "x", Type.STRINGS,
         "JSONExtract(properties, 'l', 'Array(String)') AS x"),
        ("if(event = 'a', 1, NULL) AS x", "x", Type.INTEGER, "if(equals(event, 'a'), 1, NULL) AS x"),
        ("coalesce(NULL, toDate(timestamp), timestamp) AS x", "x", Type.DATETIME,
         "coalesce(NULL, toDateTime(toDate(timestamp)), timestamp) AS x"),
        ("uuid = 'A0000000-0000-0000-0000-000000000000' AS x", "x", Type.BOOLEAN,
         "equals(toString(uuid), 'a0000000-0000-0000-0000-000000000000') AS x"),
        ("timestamp > '2026-01-01T01:00:00+01:00' AS x", "x", Type.BOOLEAN,
         "greater(timestamp, toDateTime('2026-01-01 00:00:00.000000')) AS x"),
        ("event /* of this kind */ AS x -- and no other", "x", Type.STRING, "event AS x"),
    ],
)  # fmt: skip
def test_an_item_has_a_name_a_type_and_a_normal_form(item: str, alias: str, kind: Type, printed: str) -> None:
    [field] = fields = select_list(f"SELECT {item}\nFROM events AS e")
    assert (field.alias, field.expression.type) == (alias, kind)
    assert hogql(fields) == f"SELECT {printed} FROM events"


def test_a_star_stands_for_every_field_there_is() -> None:
    assert [field.alias for field in select_list("SELECT * FROM events")] == list(COLUMNS)
    assert [field.alias for field in select_list("SELECT 1 AS n, e.* FROM events e")] == ["n", *COLUMNS]


def test_an_alias_may_be_named_by_what_comes_after_it() -> None:
    query = "SELECT toInt(properties.n) AS n, n * 2 AS double, properties AS p, p.x AS x FROM events"
    assert hogql(select_list(query)) == (
        "SELECT toInt(properties.n) AS n, multiply(toInt(properties.n), 2) AS double, properties AS p, "
        "properties.x FROM events"
    )


def test_aliases_that_double_each_other_are_refused_at_once() -> None:
    doubled = ", ".join(f"concat(c{n}, c{n}) AS c{n + 1}" for n in range(40))
    with pytest.raises(ValidationFailed, match="too large"):
        select_list(f"SELECT event AS c0, {doubled} FROM events")


@pytest.mark.parametrize(
    "rest",
    [
        "WHERE unknown = 1 LIMIT 10",
        "ORDER BY timestamp DESC LIMIT 5 OFFSET 3",
        "WHERE event IN (SELECT 1)",
        ";",
        "-- x",
    ],
)
def test_which_rows_is_not_for_a_query_to_say(rest: str) -> None:
    assert hogql(select_list(f"SELECT event FROM events {rest}")) == "SELECT event FROM events"


def test_operators_and_case_and_casts_are_functions() -> None:
    query = (
        "SELECT a.event = 'x' OR NOT a.event != 'y', -a.team_id % 7, a.event LIKE 'x%', a.event NOT ILIKE 'y', "
        "a.event =~ '^z', a.event IS NULL, a.event IS NOT NULL, a.team_id BETWEEN 1 AND 2, "
        "CASE a.event WHEN 'x' THEN 1 ELSE 2 END, CASE WHEN true THEN 'a' END, CAST(a.event AS Int64), "
        "a.event::Nullable(Float64), a.event ?? 'x', a.timestamp + INTERVAL 1 + 1 HOUR FROM events a"
    )
    assert [field.alias for field in select_list(query)] == [
        "or(equals(event, 'x'), not(notEquals(event, 'y')))",
        "modulo(negate(team_id), 7)",
        "like(event, 'x%')",
        "notILike(event, 'y')",
        "match(event, '^z')",
        "isNull(event)",
        "isNotNull(event)",
        "between(team_id, 1, 2)",
        "multiIf(equals(event, 'x'), 1, 2)",
        "multiIf(true, 'a', NULL)",
        "toInt(event)",
        "toFloat(event)",
        "coalesce(event, 'x')",
        "addHours(timestamp, plus(1, 1))",
    ]


def test_the_schema_tells_names_and_values_apart() -> None:
    query = "SELECT properties.`a'b`[2] AS `it's`, toFloat('1') AS f, event IN ('x', 'y'), 'a\\nb' AS t FROM events"
    assert schema(select_list(query)) == {
        "fields": [
            {"expression": "JSONExtractString(events.properties, %(hogql_val_0)s, 2)", "alias": "`it's`"},
            {"expression": "accurateCastOrNull(%(hogql_val_1)s, %(hogql_val_2)s)", "alias": "f"},
            {
                "expression": "in(events.event, tuple(%(hogql_val_3)s, %(hogql_val_4)s))",
                "alias": "`in(event, tuple('x', 'y'))`",
            },
            {"expression": "%(hogql_val_5)s", "alias": "t"},
        ],
        "values": {
            "hogql_val_0": "a'b",
            "hogql_val_1": "1",
            "hogql_val_2": "Float64",
            "hogql_val_3": "x",
            "hogql_val_4": "y",
            "hogql_val_5": "a\nb",
        },
        "hogql_query": (
            "SELECT properties['a\\'b'][2] AS `it's`, toFloat('1') AS f, in(event, tuple('x', 'y')), 'a\\nb' AS t "
            "FROM events"
        ),
    }


def test_functions_are_known_in_any_case() -> None:
    for name in FUNCTIONS:
        assert {canonical(name), canonical(name.lower()), canonical(name.upper())} == {name}
    for alias, name in ALIASES.items():
        assert canonical(alias.upper()) == name
