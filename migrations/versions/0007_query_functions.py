"""Functions that queries and filters are made of: null where there is no answer, and never an error.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# name, arguments, result, declarations and body. All are strict, unless they stand in JSON_READERS.
FUNCTIONS = [
    (
        "to_int",
        "value numeric",
        "bigint",
        """
BEGIN
    RETURN CASE WHEN value BETWEEN -9223372036854775808 AND 9223372036854775807 THEN trunc(value)::bigint END;
END""",
    ),
    (
        "to_int",
        "value double precision",
        "bigint",
        """
BEGIN
    RETURN CASE WHEN value >= -9223372036854775808::float8 AND value < 9223372036854775808::float8
        THEN trunc(value)::bigint END;
END""",
    ),
    # Lengths and exponents are limited: numbers of many thousand digits take long, and are none that a bigint holds.
    (
        "to_int",
        "value text",
        "bigint",
        r"""
DECLARE
    number numeric;
BEGIN
    IF length(value) > 99 OR value !~ '^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$' THEN
        RETURN NULL;
    END IF;
    number := value::numeric;
    RETURN CASE WHEN trunc(number) = number THEN event_store.to_int(number) END;
END""",
    ),
    (
        "to_float",
        "value text",
        "double precision",
        r"""
BEGIN
    RETURN CASE WHEN length(value) <= 999 AND value ~ '^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$'
        AND pg_input_is_valid(value, 'float8') THEN value::float8 END;
END""",
    ),
    (
        "to_bool",
        "value text",
        "boolean",
        """
BEGIN
    RETURN CASE lower(value) WHEN 'true' THEN true WHEN '1' THEN true WHEN 'false' THEN false WHEN '0' THEN false END;
END""",
    ),
    (
        "to_uuid",
        "value text",
        "uuid",
        """
BEGIN
    RETURN CASE WHEN pg_input_is_valid(value, 'uuid') THEN value::uuid END;
END""",
    ),
    # The parser ends a query, not just its answer, when text is nested too deeply: so what may be is peeled first.
    (
        "to_json",
        "value text",
        "json",
        r"""
DECLARE
    rest text;
BEGIN
    IF length(value) - length(translate(value, '[{', '')) > 1000 THEN
        rest := regexp_replace(value, '"([^"\\]|\\.)*"', '', 'g');
        FOR level IN 1..1000 LOOP
            EXIT WHEN rest !~ '[][{}]';
            rest := regexp_replace(rest, '\[[^][{}]*\]|\{[^][{}]*\}', '', 'g');
        END LOOP;
        IF rest ~ '[][{}]' THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN CASE WHEN pg_input_is_valid(value, 'json') THEN event_store.readable(value::json) END;
END""",
    ),
    # Moments are those of the years 1 to 9999, which all readers know.
    (
        "bounded",
        "moment timestamptz",
        "timestamptz",
        """
BEGIN
    RETURN CASE WHEN moment >= '0001-01-01 00:00+00' AND moment < '10000-01-01 00:00+00' THEN moment END;
END""",
    ),
    (
        "to_moment",
        "value text, zone text",
        "timestamptz",
        r"""
DECLARE
    parts text[] := regexp_match(value,
        '^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})'
        '(?:[T ]([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?'
        '(?: ?(Z|UTC|[+-](?:[0][0-9]|1[0-5])(?::?[0-5][0-9])?))?)?$');
    written text;
    digits text;
    moved interval;
BEGIN
    IF parts IS NULL THEN
        RETURN NULL;
    END IF;
    written := parts[1] || '-' || parts[2] || '-' || parts[3] || ' ' || coalesce(parts[4], '00') || ':'
        || coalesce(parts[5], '00') || ':' || coalesce(parts[6], '00') || '.' || coalesce(parts[7], '0');
    IF NOT pg_input_is_valid(written, 'timestamp') THEN
        RETURN NULL;
    END IF;
    IF parts[8] IS NULL THEN
        RETURN event_store.bounded(written::timestamp AT TIME ZONE zone);
    END IF;
    digits := rpad(regexp_replace(parts[8], '[^0-9]', '', 'g'), 4, '0');
    moved := make_interval(hours => left(digits, 2)::int, mins => right(digits, 2)::int);
    RETURN event_store.bounded(
        (written::timestamp AT TIME ZONE 'UTC') - CASE WHEN left(parts[8], 1) = '-' THEN -moved ELSE moved END);
END""",
    ),
    (
        "to_moment",
        "seconds double precision",
        "timestamptz",
        """
BEGIN
    RETURN CASE WHEN seconds >= -62135596800 AND seconds < 253402300800
        THEN event_store.bounded(to_timestamp(seconds)) END;
END""",
    ),
    (
        "to_day",
        "moment timestamptz, zone text",
        "date",
        """
DECLARE
    day timestamp := event_store.bounded(moment) AT TIME ZONE zone;
BEGIN
    RETURN CASE WHEN day >= '0001-01-01' AND day < '10000-01-01' THEN day::date END;
END""",
    ),
    (
        "to_moment",
        "day date, zone text",
        "timestamptz",
        """
BEGIN
    RETURN event_store.bounded(day::timestamp AT TIME ZONE zone);
END""",
    ),
    # A unit is a number of minutes, or one of date_trunc's; its weeks begin on Monday, those of 'sunday' on Sunday.
    (
        "start_of",
        "moment timestamptz, unit text, zone text",
        "timestamptz",
        """
DECLARE
    local timestamp := event_store.bounded(moment) AT TIME ZONE zone;
BEGIN
    RETURN event_store.bounded((CASE
        WHEN unit = 'sunday' THEN date_trunc('week', local + interval '1 day') - interval '1 day'
        WHEN unit IN ('5', '10', '15') THEN date_trunc('hour', local)
            + make_interval(mins => extract(minute FROM local)::int / unit::int * unit::int)
        ELSE date_trunc(unit, local)
    END) AT TIME ZONE zone);
END""",
    ),
    (
        "part_of",
        "moment timestamptz, unit text, zone text",
        "bigint",
        """
DECLARE
    local timestamp := event_store.bounded(moment) AT TIME ZONE zone;
BEGIN
    IF local IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN CASE unit
        WHEN 'YYYYMM' THEN to_char(local, 'YYYYMM')::bigint
        WHEN 'YYYYMMDD' THEN to_char(local, 'YYYYMMDD')::bigint
        ELSE floor(date_part(unit, local))::bigint
    END;
END""",
    ),
    (
        "unix_time",
        "moment timestamptz, per_second bigint",
        "bigint",
        """
BEGIN
    RETURN floor(extract(epoch FROM event_store.bounded(moment)) * per_second)::bigint;
END""",
    ),
    (
        "add_seconds",
        "moment timestamptz, seconds numeric",
        "timestamptz",
        """
BEGIN
    IF abs(seconds) > 400000000000 OR extract(epoch FROM event_store.bounded(moment)) + seconds
        NOT BETWEEN -62135596800 AND 253402300800 THEN
        RETURN NULL;
    END IF;
    RETURN event_store.bounded(event_store.bounded(moment) + seconds::float8 * interval '1 second');
END""",
    ),
    (
        "add_months",
        "moment timestamptz, months numeric",
        "timestamptz",
        """
DECLARE
    local timestamp := event_store.bounded(moment) AT TIME ZONE 'UTC';
BEGIN
    IF abs(months) > 200000 OR (extract(year FROM local) * 12 + extract(month FROM local) - 1 + months)
        NOT BETWEEN 12 AND 119999 THEN
        RETURN NULL;
    END IF;
    RETURN event_store.bounded((local + make_interval(months => months::int)) AT TIME ZONE 'UTC');
END""",
    ),
    # How many starts of a unit lie between two moments.
    (
        "difference",
        "unit text, one timestamptz, other timestamptz, zone text",
        "bigint",
        """
DECLARE
    first timestamp := event_store.bounded(one) AT TIME ZONE zone;
    last timestamp := event_store.bounded(other) AT TIME ZONE zone;
    months bigint;
BEGIN
    IF unit IN ('second', 'minute', 'hour') THEN
        RETURN (extract(epoch FROM date_trunc(unit, last) - date_trunc(unit, first))
            / CASE unit WHEN 'second' THEN 1 WHEN 'minute' THEN 60 ELSE 3600 END)::bigint;
    ELSIF unit = 'day' THEN
        RETURN last::date - first::date;
    ELSIF unit = 'week' THEN
        RETURN (date_trunc('week', last)::date - date_trunc('week', first)::date) / 7;
    ELSIF unit = 'month' THEN
        RETURN (extract(year FROM last) - extract(year FROM first)) * 12
            + extract(month FROM last) - extract(month FROM first);
    ELSIF unit = 'quarter' THEN
        RETURN (extract(year FROM last) - extract(year FROM first)) * 4
            + extract(quarter FROM last) - extract(quarter FROM first);
    END IF;
    RETURN extract(year FROM last) - extract(year FROM first);
END""",
    ),
    # The limits are somewhat within those of the type: rounding then never reaches them, and what is lost is nobody's.
    (
        "add",
        "one double precision, other double precision",
        "double precision",
        """
BEGIN
    RETURN CASE WHEN abs(one) < 8e307 AND abs(other) < 8e307 THEN one + other END;
END""",
    ),
    (
        "multiply",
        "one double precision, other double precision",
        "double precision",
        """
BEGIN
    IF one = 0 OR other = 0 THEN
        RETURN 0;
    ELSIF abs(one) > 1 AND abs(other) > 8e307 / abs(one) THEN
        RETURN NULL;
    ELSIF abs(one) < 1 AND abs(other) < 1e-300 / greatest(abs(one), 1e-300) THEN
        RETURN 0;
    END IF;
    RETURN one * other;
END""",
    ),
    (
        "divide",
        "one double precision, other double precision",
        "double precision",
        """
BEGIN
    IF other = 0 THEN
        RETURN NULL;
    ELSIF one = 0 THEN
        RETURN 0;
    ELSIF abs(other) < 1 AND abs(one) > 8e307 * abs(other) THEN
        RETURN NULL;
    ELSIF abs(other) > 1 AND abs(one) < 1e-300 * abs(other) THEN
        RETURN 0;
    END IF;
    RETURN one / other;
END""",
    ),
    (
        "exponential",
        "value double precision",
        "double precision",
        """
BEGIN
    RETURN CASE WHEN value < -700 THEN 0 WHEN value < 709 THEN exp(value) END;
END""",
    ),
    (
        "logarithm",
        "value double precision, base numeric",
        "double precision",
        """
BEGIN
    IF value <= 0 THEN
        RETURN NULL;
    END IF;
    RETURN CASE base WHEN 10 THEN log(value) WHEN 2 THEN ln(value) / ln(2::float8) ELSE ln(value) END;
END""",
    ),
    (
        "raise",
        "value double precision, exponent double precision",
        "double precision",
        """
DECLARE
    size float8;
BEGIN
    IF exponent = 0 OR value = 1 THEN
        RETURN 1;
    ELSIF value = 0 THEN
        RETURN CASE WHEN exponent > 0 THEN 0 END;
    ELSIF value < 0 AND exponent <> trunc(exponent) THEN
        RETURN NULL;
    END IF;
    size := event_store.multiply(exponent, ln(abs(value)));
    RETURN CASE WHEN size < -700 THEN 0 WHEN size < 709 THEN power(value, exponent) END;
END""",
    ),
    (
        "root",
        "value double precision",
        "double precision",
        """
BEGIN
    RETURN CASE WHEN value >= 0 THEN sqrt(value) END;
END""",
    ),
    # By way of text: the type's own cast to numeric keeps fifteen digits.
    (
        "rounded",
        "value double precision, digits integer",
        "double precision",
        """
BEGIN
    RETURN event_store.to_float(round(value::text::numeric, digits)::text);
END""",
    ),
    (
        "quotient",
        "one bigint, other bigint",
        "bigint",
        """
BEGIN
    RETURN CASE WHEN other <> 0 THEN event_store.to_int(div(one::numeric, other::numeric)) END;
END""",
    ),
    (
        "remainder",
        "one bigint, other bigint",
        "bigint",
        """
BEGIN
    RETURN CASE WHEN other <> 0 THEN one % other END;
END""",
    ),
    (
        "clamped",
        "value bigint",
        "integer",
        """
BEGIN
    RETURN least(greatest(value, -1000000000), 1000000000)::int;
END""",
    ),
    # Places count from 1, or from -1 at the end; a negative length leaves off so many characters there.
    (
        "part_of_text",
        "value text, place bigint, size bigint",
        "text",
        """
DECLARE
    start bigint := CASE WHEN place < 0 THEN greatest(length(value) + place + 1, 1) ELSE place END;
    rest text;
BEGIN
    IF place = 0 THEN
        RETURN '';
    END IF;
    rest := substr(value, event_store.clamped(start));
    RETURN CASE WHEN size <= -length(rest) THEN '' ELSE left(rest, event_store.clamped(size)) END;
END""",
    ),
    (
        "replaced",
        "value text, old text, new text, once boolean",
        "text",
        """
DECLARE
    place int := CASE WHEN old <> '' THEN strpos(value, old) ELSE 0 END;
BEGIN
    IF place = 0 THEN
        RETURN value;
    ELSIF once THEN
        RETURN overlay(value PLACING new FROM place FOR length(old));
    ELSIF octet_length(value)::bigint * greatest(octet_length(new), 1) > 268435456 THEN
        RETURN NULL;
    END IF;
    RETURN replace(value, old, new);
END""",
    ),
    (
        "replaced_matches",
        "value text, pattern text, new text, flags text",
        "text",
        """
BEGIN
    IF octet_length(value)::bigint * greatest(octet_length(new), 1) > 268435456 THEN
        RETURN NULL;
    END IF;
    RETURN regexp_replace(value, pattern, new, flags);
END""",
    ),
    (
        "extracted",
        "value text, pattern text",
        "text",
        """
BEGIN
    RETURN coalesce(substring(value FROM pattern), '');
END""",
    ),
    (
        "split",
        "value text, separator text",
        "text[]",
        """
BEGIN
    RETURN CASE WHEN value = '' THEN ARRAY[''] ELSE string_to_array(value, nullif(separator, '')) END;
END""",
    ),
    (
        "element",
        "list text[], place bigint",
        "text",
        """
BEGIN
    IF place < 0 THEN
        place := cardinality(list) + place + 1;
    END IF;
    RETURN coalesce(list[event_store.clamped(place)], '');
END""",
    ),
]

# What JSON gives where there is nothing of the kind is not null, but the least of what it might have been.
JSON_READERS = [
    (
        "json_string",
        "text",
        """
BEGIN
    RETURN CASE WHEN json_typeof(document) = 'string' THEN document #>> '{}' ELSE '' END;
END""",
    ),
    (
        "json_int",
        "bigint",
        """
BEGIN
    RETURN coalesce(CASE json_typeof(document)
        WHEN 'number' THEN event_store.to_int(document #>> '{}')
        WHEN 'string' THEN event_store.to_int(document #>> '{}')
        WHEN 'boolean' THEN (document #>> '{}')::boolean::int
    END, 0);
END""",
    ),
    (
        "json_float",
        "double precision",
        """
BEGIN
    RETURN coalesce(CASE json_typeof(document)
        WHEN 'number' THEN event_store.to_float(document #>> '{}')
        WHEN 'string' THEN event_store.to_float(document #>> '{}')
        WHEN 'boolean' THEN (document #>> '{}')::boolean::int
    END, 0);
END""",
    ),
    (
        "json_bool",
        "boolean",
        """
BEGIN
    RETURN coalesce(document::text = 'true', false);
END""",
    ),
    (
        "json_raw",
        "text",
        """
BEGIN
    RETURN coalesce(document::text, '');
END""",
    ),
    (
        "json_length",
        "bigint",
        """
BEGIN
    RETURN CASE json_typeof(document)
        WHEN 'array' THEN json_array_length(document)
        WHEN 'object' THEN (SELECT count(*) FROM json_object_keys(document))
        ELSE 0
    END;
END""",
    ),
    (
        "json_keys",
        "text[]",
        """
BEGIN
    RETURN CASE WHEN json_typeof(document) = 'object' THEN ARRAY(SELECT json_object_keys(document))
        ELSE ARRAY[]::text[] END;
END""",
    ),
    (
        "json_raw_items",
        "text[]",
        """
BEGIN
    RETURN CASE WHEN json_typeof(document) = 'array'
        THEN ARRAY(SELECT one::text FROM json_array_elements(document) AS one) ELSE ARRAY[]::text[] END;
END""",
    ),
    (
        "json_items",
        "text[]",
        """
BEGIN
    RETURN CASE WHEN json_typeof(document) = 'array'
        THEN ARRAY(SELECT coalesce(one, '') FROM json_array_elements_text(document) AS one) ELSE ARRAY[]::text[] END;
END""",
    ),
]


def upgrade() -> None:
    for name, arguments, result, body in FUNCTIONS:
        op.execute(_create(name, arguments, result, "IMMUTABLE STRICT PARALLEL SAFE", body))
    for name, result, body in JSON_READERS:
        op.execute(_create(name, "document json", result, "IMMUTABLE PARALLEL SAFE", body))


def downgrade() -> None:
    for name, _, _ in JSON_READERS:
        op.execute(f"DROP FUNCTION event_store.{name}(json)")
    for name, arguments, _, _ in reversed(FUNCTIONS):
        types = ", ".join(argument.split(" ", 1)[1] for argument in arguments.split(", "))
        op.execute(f"DROP FUNCTION event_store.{name}({types})")


def _create(name: str, arguments: str, result: str, marks: str, body: str) -> str:
    return f"CREATE FUNCTION event_store.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql {marks} AS $${body}\n$$"
