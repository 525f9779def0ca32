"""What events make of persons: decided purely, one event after another."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from app.intake import persons
from app.intake.events import parse_event
from app.intake.incoming import Context
from app.intake.persons import People, is_illegal, person_id_of
from app.intake.problems import Code
from tests.intake.sending import event

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PROJECT = 7


class Story:
    """Events of one project, told one after another; each an hour after the one before."""

    def __init__(self) -> None:
        self.people = People(PROJECT)
        self.problems: list[Code] = []
        self.seen: list[tuple[str, Any]] = []
        self._now = NOW

    def tell(self, name: str, distinct_id: str, **properties: Any) -> "Story":
        raw = Raw(msgspec.json.encode(event(name, distinct_id, properties=properties)))
        incoming, found = parse_event(raw, Context(PROJECT, "phc_x", self._now, None, 10_000_000))
        assert incoming is not None
        person_id, text, problem = self.people.apply(incoming)
        self.seen.append((self.whose(person_id), text and msgspec.json.decode(text)))
        self.problems += [one.code for one in (*found, *([problem] if problem else []))]
        self._now += timedelta(hours=1)
        return self

    def whose(self, person_id: Any) -> str:
        """The distinct id that the person's own id follows from."""
        return {person_id_of(PROJECT, name): name for name in "abcd"}[person_id]

    def groups(self) -> dict[str, str]:
        """Whose each distinct id is."""
        return {name: self.whose(owner.person_id) for name, owner in sorted(self.people.owners.items())}

    def person(self, name: str) -> Any:
        person = self.people.persons[person_id_of(PROJECT, name)]
        return msgspec.json.decode(person.text), person.identified, person.deleted


def test_a_first_event_makes_a_person_whose_id_follows_from_the_distinct_id() -> None:
    story = Story().tell("e", "a").tell("e", "a").tell("e", "b")
    assert story.groups() == {"a": "a", "b": "b"}
    assert story.people.persons[person_id_of(PROJECT, "a")].created_at == NOW
    assert story.seen == [("a", {}), ("a", {}), ("b", {})]
    assert person_id_of(PROJECT, "a") != person_id_of(PROJECT + 1, "a")


def test_events_carry_the_properties_as_they_are_after_them() -> None:
    story = Story()
    story.tell("e", "a", **{"$set": {"n": 1, "o": 1}})
    story.tell("e", "a")
    story.tell("e", "a", **{"$set_once": {"n": 2, "m": 2}})
    story.tell("e", "a", **{"$set": {"n": 3}, "$set_once": {"n": 4}, "$unset": ["o", "none"]})
    story.tell("$set", "a", **{"$unset": {"n": ""}})
    assert [text for _, text in story.seen] == [
        {"n": 1, "o": 1},
        {"n": 1, "o": 1},
        {"n": 1, "o": 1, "m": 2},
        {"n": 3, "m": 2},
        {"m": 2},
    ]


def test_the_same_values_are_no_change_however_they_are_written() -> None:
    story = Story().tell("e", "a", **{"$set": {"name": "é", "list": [1, {"b": 2}]}})
    person = story.people.persons[person_id_of(PROJECT, "a")]
    person.changed = False
    text = '{"event":"e","distinct_id":"a","properties":{"$set": {"list" : [ 1, {"b" :2}], "name":"\\u00e9"}}}'
    incoming, _ = parse_event(Raw(text.encode()), Context(PROJECT, "phc_x", NOW, None, 10_000))
    assert incoming is not None
    story.people.apply(incoming)
    assert not person.changed
    story.tell("e", "a", **{"$set": {"name": "e"}})
    assert person.changed


def test_numbers_of_persons_keep_their_last_digit() -> None:
    text = (
        b'{"event":"e","distinct_id":"a","$set":{"n":1.00000000000000000000001e400,"i":123456789012345678901234567890}}'
    )
    people = People(PROJECT)
    incoming, _ = parse_event(Raw(text), Context(PROJECT, "phc_x", NOW, None, 10_000))
    assert incoming is not None
    assert people.apply(incoming)[1] == '{"n":1.00000000000000000000001e400,"i":123456789012345678901234567890}'


ANON = "$anon_distinct_id"


def test_identify_takes_over_whoever_was_anonymous() -> None:
    story = Story().tell("e", "a", **{"$set": {"x": "a", "y": "a"}}).tell("e", "b", **{"$set": {"x": "b"}})
    story.tell("$identify", "b", **{ANON: "a", "$set": {"z": 1}}).tell("e", "a")
    assert story.groups() == {"a": "b", "b": "b"}
    assert story.person("b") == ({"x": "b", "y": "a", "z": 1}, True, False)
    assert story.person("a") == ({"x": "a", "y": "a"}, False, True)
    assert story.seen[-1] == ("b", {"x": "b", "y": "a", "z": 1})
    assert story.people.persons[person_id_of(PROJECT, "b")].created_at == NOW


@pytest.mark.parametrize(("known", "owner"), [([], "b"), (["a"], "a"), (["b"], "b")])
def test_identify_gives_both_ids_to_whoever_there_is(known: list[str], owner: str) -> None:
    story = Story()
    for name in known:
        story.tell("e", name)
    story.tell("$identify", "b", **{ANON: "a"})
    assert story.groups() == {"a": owner, "b": owner}
    assert story.person(owner)[1:] == (True, False)
    assert story.problems == []


@pytest.mark.parametrize(("name", "key"), [("$identify", ANON), ("$create_alias", "alias")])
def test_two_who_are_identified_are_not_merged(name: str, key: str) -> None:
    story = Story().tell("$identify", "b", **{ANON: "a"}).tell("e", "c")
    story.tell(name, "c", **{key: "a", "$set": {"n": 1}})
    assert story.groups() == {"a": "b", "b": "b", "c": "c"}
    assert story.problems == [Code.ALREADY_IDENTIFIED]
    assert story.seen[-1] == ("c", {"n": 1})


def test_only_force_merges_two_who_are_identified() -> None:
    story = Story().tell("$identify", "b", **{ANON: "a"}).tell("$identify", "d", **{ANON: "c"})
    story.tell("$merge_dangerously", "d", alias="a")
    assert story.groups() == dict.fromkeys("abcd", "d")
    assert story.person("b")[2]
    assert story.problems == []


def test_merges_follow_one_another_in_one_batch() -> None:
    story = Story().tell("e", "a", **{"$set": {"n": 1}})
    story.tell("$create_alias", "b", alias="a").tell("e", "c").tell("$merge_dangerously", "c", alias="b").tell("e", "a")
    assert story.groups() == {"a": "c", "b": "c", "c": "c"}
    assert story.seen[-1] == ("c", {"n": 1})


def test_to_say_it_again_or_of_oneself_changes_nothing() -> None:
    story = Story().tell("$identify", "b", **{ANON: "a"})
    for person in story.people.persons.values():
        person.changed = False
    story.tell("$identify", "b", **{ANON: "a"}).tell("$identify", "b", **{ANON: "b"}).tell("$create_alias", "b")
    assert not list(story.people.changed_persons())
    assert story.problems == []


@pytest.mark.parametrize(
    "name",
    [
        "anonymous",
        "GUEST",
        "null",
        "None",
        "undefined",
        "0",
        "distinct_id",
        "'id'",
        '"true"',
        " ",
        "[object Object]",
        "NaN",
    ],
)
def test_what_many_send_by_mistake_merges_nobody(name: str) -> None:
    assert is_illegal(name)
    for into, other in (("a", name), (name, "a")):
        story = Story()
        raw = msgspec.json.encode(event("$merge_dangerously", into, properties={"alias": other}))
        incoming, found = parse_event(Raw(raw), Context(PROJECT, "phc_x", NOW, None, 10_000))
        if incoming is None or incoming.change is None:
            assert name == " "  # no distinct id at all
            continue
        _, _, problem = story.people.apply(incoming)
        assert problem is not None
        assert problem.code is Code.ILLEGAL_MERGE
        assert set(story.people.owners) == {into}
        assert found == []


def test_a_plain_event_may_have_such_an_id() -> None:
    assert not is_illegal("ada")
    story = Story()
    incoming, _ = parse_event(Raw(msgspec.json.encode(event("e", "anonymous"))), Context(7, "t", NOW, None, 10_000))
    assert incoming is not None
    assert story.people.apply(incoming)[2] is None


def test_of_a_personless_event_no_person_is_made() -> None:
    story = Story().tell("e", "a", **{"$process_person_profile": False, "$set": {"n": 1}})
    assert story.people.owners == {}
    assert story.seen == [("a", None)]
    assert story.problems == []
    # Whoever is known is said to be it, but nothing of them.
    story.tell("$identify", "b", **{ANON: "a"}).tell("e", "a", **{"$process_person_profile": False})
    assert story.seen[-1] == ("b", None)


@pytest.mark.parametrize("name", ["$identify", "$create_alias", "$merge_dangerously", "$set"])
def test_what_speaks_of_a_person_and_wants_none_is_told(name: str) -> None:
    story = Story().tell(name, "a", **{"$process_person_profile": False, ANON: "b", "alias": "b", "$set": {"n": 1}})
    assert story.people.owners == {}
    assert story.problems == [Code.PERSONLESS]


@pytest.mark.parametrize("wrong", [{"$set": [1]}, {"$set_once": "x"}, {"$unset": 7}, {"$unset": ["a", 7]}])
def test_person_properties_that_are_none_are_ignored_and_told(wrong: dict[str, Any]) -> None:
    story = Story().tell("e", "a", **{"$set": {"a": 1}}).tell("e", "a", **wrong)
    assert story.person("a")[0] == {"a": 1}
    assert story.problems == [Code.INVALID_PERSON_PROPERTIES]


def test_a_person_does_not_grow_beyond_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persons, "MAX_PROPERTIES", 30)
    story = Story().tell("e", "a", **{"$set": {"x": "0123456789"}}).tell("e", "a", **{"$set": {"y": "0123456789abc"}})
    assert story.person("a")[0] == {"x": "0123456789"}
    assert story.problems == [Code.PERSON_TOO_LARGE]
    story.tell("e", "b", **{"$set": {"z": "0123456789"}}).tell("$create_alias", "b", alias="a")
    assert story.person("b")[0] == {"z": "0123456789"}


def test_a_person_somebody_has_deleted_begins_anew() -> None:
    story = Story().tell("e", "a", **{"$set": {"n": 1}})
    person = story.people.persons[person_id_of(PROJECT, "a")]
    person.version, person.deleted, person.changed = 4, True, False
    story.tell("e", "a")
    assert (story.person("a"), person.changed, person.version) == (({}, False, False), True, 4)
