"""The event that all expressions are asked of."""

from tests.factories import utc

MOMENT = utc(2026, 3, 1, 22, 45, 30, 123456)
PROPERTIES = r"""{
    "text": "Héllo, World", "empty": "", "spaces": "  a b ", "quote": "it's \"x\" \\ \n", "unicode": "\u00e9🦔",
    "int": 42, "float": 2.5, "whole": 5.0, "text_int": "17", "text_float": "-1.5e2", "huge": 1e999, "tiny": 1e-999,
    "big": 9223372036854775807, "bigger": 9223372036854775808, "digits": 123456789012345678901234567890,
    "yes": true, "no": false, "null": null, "words": "true", "zero": 0,
    "list": ["a", "b", 3, null, {"x": 1}], "object": {"a": {"b": [10, 20]}, "1": "one", "a.b": "dotted"},
    "json": "{\"k\": [1, \"two\"]}", "not_json": "{oops", "csv": "a,b,,c",
    "url": "https://user:pw@www.example.com:8080/path/page?x=1&y=2#part",
    "date": "2026-02-03", "moment": "2026-02-03T04:05:06.789+02:00", "naive": "2026-02-03 04:05:06",
    "no_date": "2026-02-30", "month": "2026-13-01", "far": "9999-12-31", "$dollar": "$", "with space": "s", "a'b": "q"
}"""
