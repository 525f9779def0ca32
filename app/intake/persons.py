"""What events make of the persons they are about. Pure.

A distinct id that nobody has met belongs to a person whose id follows from it: whoever stores its first event, and
however often, makes the same person. Events are taken in their order, each with the person as it is after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw

from app.intake.changes import Change, Merge
from app.intake.incoming import Incoming
from app.intake.problems import Code, Problem
from app.intake.raw import decode_members, encode

NAMESPACE: Final = UUID("6f1d8c1e-3f53-4c7e-9c0a-5a3b1f0d7e42")
"""Of the ids of persons. To change it would make every person anew."""
MAX_PROPERTIES: Final = 512 * 1024
"""Characters of one person's properties: each of its events is stored with them."""

_QUOTED: Final = ("", "'", '"')
_ILLEGAL: Final = frozenset(
    f"{quote}{name}{quote}"
    for quote in _QUOTED
    for name in (
        *("anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated", "email", "undefined"),
        *("true", "false", "null", "none", "nan", "0", "[object object]"),
    )
)


def is_illegal(distinct_id: str) -> bool:
    """Whether a program sends it by mistake for many people, who would all become one if it were merged."""
    text = distinct_id.strip().lower()
    return not text or text in _ILLEGAL


def person_id_of(project_id: int, distinct_id: str) -> UUID:
    """Whose a distinct id is until it is said to be somebody else's."""
    return uuid5(NAMESPACE, f"{project_id}:{distinct_id}")


@dataclass(slots=True)
class Person:
    """``version`` is the one in the store; None while there is none. ``text`` is its properties as JSON."""

    id: UUID
    version: int | None
    text: str
    created_at: datetime
    identified: bool = False
    deleted: bool = False
    changed: bool = False

    def members(self) -> dict[str, Raw]:
        return decode_members(self.text)


@dataclass(slots=True)
class Owner:
    """Whose a distinct id is."""

    person_id: UUID
    version: int | None
    deleted: bool = False
    changed: bool = False


@dataclass(slots=True)
class People:
    """The persons of one project, as far as some events are concerned with them."""

    project_id: int
    owners: dict[str, Owner] = field(default_factory=dict)
    """By distinct id. Of every person that may be merged into another, all are in here."""
    persons: dict[UUID, Person] = field(default_factory=dict)
    ids: dict[UUID, set[str]] = field(default_factory=dict)
    """By person, all that are in ``owners``."""

    def own(self, distinct_id: str, owner: Owner) -> None:
        """Whose a distinct id is, as it is known; or from now on."""
        if (before := self.owners.get(distinct_id)) is not None:
            self.ids[before.person_id].discard(distinct_id)
        self.owners[distinct_id] = owner
        self.ids.setdefault(owner.person_id, set()).add(distinct_id)

    def apply(self, event: Incoming) -> tuple[UUID, str | None, Problem | None]:
        """The event's person, its properties after the event, and what of the event was not done."""
        distinct_id, moment = event.row.distinct_id, event.row.timestamp
        if event.personless:
            owner = self.owners.get(distinct_id)
            return (owner.person_id if owner else person_id_of(self.project_id, distinct_id)), None, None
        problem = None
        change = event.change
        if change is not None and change.merge is not None:
            problem = self._merge(change.merge, distinct_id, moment)
        person = self._find(distinct_id, moment) or self._make(distinct_id, moment)
        if change is not None and not _update(person, change):
            problem = (Code.PERSON_TOO_LARGE, f"The person would have properties of more than {MAX_PROPERTIES} bytes.")
        return person.id, person.text, _about(event, *problem) if problem is not None else None

    def changed_persons(self) -> Iterator[Person]:
        return (person for person in self.persons.values() if person.changed)

    def changed_owners(self) -> Iterator[tuple[str, Owner]]:
        return ((distinct_id, owner) for distinct_id, owner in self.owners.items() if owner.changed)

    def _find(self, distinct_id: str, moment: datetime) -> Person | None:
        owner = self.owners.get(distinct_id)
        if owner is None:
            return None
        person = self.persons[owner.person_id]
        if person.deleted:
            # Somebody has deleted the person, who comes again and begins anew.
            person.text, person.created_at, person.identified = "{}", moment, False
            person.deleted, person.changed = False, True
        if owner.deleted:
            owner.deleted, owner.changed = False, True
        return person

    def _make(self, distinct_id: str, moment: datetime) -> Person:
        person = Person(person_id_of(self.project_id, distinct_id), None, "{}", moment, changed=True)
        self.persons[person.id] = person
        self.own(distinct_id, Owner(person.id, None, changed=True))
        return person

    def _merge(self, merge: Merge, distinct_id: str, moment: datetime) -> tuple[Code, str] | None:
        other = merge.other
        if other == distinct_id:
            return None
        for one in (other, distinct_id):
            if is_illegal(one):
                return Code.ILLEGAL_MERGE, f"{one!r} is what programs send by mistake; nobody is merged with it."
        lost, kept = self._find(other, moment), self._find(distinct_id, moment)
        if lost is None or kept is None:
            # Whoever is there already gets the other id as well.
            kept = kept or lost or self._make(distinct_id, moment)
            for one in (other, distinct_id):
                if one not in self.owners:
                    self.own(one, Owner(kept.id, None, changed=True))
            kept.identified = kept.changed = True
            return None
        refused = lost is not kept and lost.identified and not merge.forced
        if lost is not kept and not refused:
            self._take_over(kept, lost)
        if not kept.identified:
            kept.identified = kept.changed = True
        if refused:
            return Code.ALREADY_IDENTIFIED, f"It is known already who {other!r} is; only $merge_dangerously merges it."
        return None

    def _take_over(self, kept: Person, lost: Person) -> None:
        merged = encode({**lost.members(), **kept.members()}).decode()
        # Two persons of half the size each: those of the one who goes are let go with it.
        kept.text = merged if len(merged) <= MAX_PROPERTIES else kept.text
        kept.created_at = min(kept.created_at, lost.created_at)
        kept.changed = lost.changed = lost.deleted = True
        for distinct_id in list(self.ids[lost.id]):
            self.own(distinct_id, Owner(kept.id, self.owners[distinct_id].version, changed=True))


def _update(person: Person, change: Change) -> bool:
    """Whether it was done: what would make a person too large is not."""
    if not (change.set or change.set_once or change.unset):
        return True
    members = person.members()
    before = {name: bytes(value) for name, value in members.items()}
    after = dict(before)
    for name, value in change.set_once.items():
        after.setdefault(name, value.encode())
    after.update((name, value.encode()) for name, value in change.set.items())
    for name in change.unset:
        after.pop(name, None)
    if after == before:
        return True
    text = msgspec.json.encode({name: Raw(value) for name, value in after.items()}).decode()
    if len(text) > MAX_PROPERTIES:
        return False
    person.text, person.changed = text, True
    return True


def _about(event: Incoming, code: Code, detail: str) -> Problem:
    row = event.row
    return Problem(event.project_id, code, detail, row.event, row.distinct_id, str(row.uuid))
