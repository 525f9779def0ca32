"""The SQL of persons: what is known of them, and new versions of them.

Versions are only added. Of two writers that have both read the same version one adds the next, and the other one finds
it there: it has to begin again. Whoever gives a distinct id to a person, or takes one away, adds a version of the
person too; so no one gives it to a person that is just being merged into another.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from app.errors import BatchExportsError
from app.intake.incoming import Incoming
from app.intake.persons import Owner, People, Person
from app.models import EVENT_STORE_SCHEMA

if TYPE_CHECKING:
    from app.events.store import Connection

_PERSONS: Final = f"{EVENT_STORE_SCHEMA}.persons"
_OWNERS: Final = f"{EVENT_STORE_SCHEMA}.person_distinct_ids"

_READ: Final = f"""
SELECT wanted.team_id, wanted.distinct_id, owner.version AS owner_version, owner.is_deleted AS owner_deleted,
       owner.person_id, person.*
FROM unnest($1::int[], $2::text[]) AS wanted (team_id, distinct_id)
JOIN LATERAL (
    SELECT version, is_deleted, person_id FROM {_OWNERS} found
    WHERE found.team_id = wanted.team_id AND found.distinct_id = wanted.distinct_id ORDER BY version DESC LIMIT 1
) owner ON true
JOIN LATERAL (
    SELECT version, properties, created_at, is_deleted, is_identified FROM {_PERSONS} found
    WHERE found.team_id = wanted.team_id AND found.id = owner.person_id ORDER BY version DESC LIMIT 1
) person ON true
"""  # noqa: S608  constants
_READ_IDS: Final = f"""
SELECT owner.team_id, owner.distinct_id, owner.person_id, owner.version, owner.is_deleted
FROM unnest($1::int[], $2::uuid[]) AS wanted (team_id, person_id)
JOIN {_OWNERS} owner ON owner.team_id = wanted.team_id AND owner.person_id = wanted.person_id
WHERE NOT EXISTS (
    SELECT FROM {_OWNERS} newer
    WHERE newer.team_id = owner.team_id AND newer.distinct_id = owner.distinct_id AND newer.version > owner.version
)
"""  # noqa: S608  constants
_ADD_PERSONS: Final = f"""
INSERT INTO {_PERSONS} (team_id, id, version, properties, created_at, is_deleted, is_identified)
SELECT team_id, id, version, properties::json, created_at, is_deleted, is_identified
FROM unnest($1::int[], $2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[], $6::bool[], $7::bool[])
     AS added (team_id, id, version, properties, created_at, is_deleted, is_identified)
ON CONFLICT DO NOTHING
"""  # noqa: S608  constants
_ADD_OWNERS: Final = f"""
INSERT INTO {_OWNERS} (team_id, distinct_id, version, person_id)
SELECT * FROM unnest($1::int[], $2::text[], $3::bigint[], $4::uuid[])
ON CONFLICT DO NOTHING
"""  # noqa: S608  constants


class Conflict(BatchExportsError):
    """Somebody else has changed a person since it was read."""


async def read_people(connection: "Connection", events: Iterable[Incoming]) -> Mapping[int, People]:
    """By project, the persons that ``events`` are about, and those that they merge with all their distinct ids."""
    wanted, merging = set[tuple[int, str]](), set[tuple[int, str]]()
    for event in events:
        wanted.add((event.project_id, event.row.distinct_id))
        if event.change is not None and event.change.merge is not None:
            both = {(event.project_id, event.row.distinct_id), (event.project_id, event.change.merge.other)}
            wanted |= both
            merging |= both
    projects = {project_id: People(project_id) for project_id, _ in wanted}
    for row in await connection.fetch(_READ, *_columns(sorted(wanted), 2)):
        people = projects[row["team_id"]]
        people.own(row["distinct_id"], Owner(row["person_id"], row["owner_version"], row["owner_deleted"]))
        people.persons[row["person_id"]] = Person(
            row["person_id"],
            row["version"],
            row["properties"],
            row["created_at"],
            row["is_identified"],
            row["is_deleted"],
        )
    await _read_ids(connection, projects, merging)
    return projects


async def _read_ids(
    connection: "Connection", projects: Mapping[int, People], merging: Collection[tuple[int, str]]
) -> None:
    persons = {
        (project_id, owner.person_id)
        for project_id, distinct_id in merging
        if (owner := projects[project_id].owners.get(distinct_id)) is not None
    }
    # Whoever nobody knows has no other ids, and of one person alone none is merged away.
    if not persons:
        return
    for row in await connection.fetch(_READ_IDS, *_columns(sorted(persons), 2)):
        people = projects[row["team_id"]]
        if row["distinct_id"] not in people.owners:
            people.own(row["distinct_id"], Owner(row["person_id"], row["version"], row["is_deleted"]))


async def add_versions(connection: "Connection", projects: Mapping[int, People]) -> None:
    """What has changed, each in one order, whoever writes: so nobody waits for somebody who waits for them.

    :raises Conflict: when somebody else was first; the transaction is to be rolled back.
    """
    persons = sorted(
        (
            (people.project_id, one.id, _next(one.version), one.text, one.created_at, one.deleted, one.identified)
            for people in projects.values()
            for one in people.changed_persons()
        ),
        key=lambda row: row[:2],
    )
    owners = sorted(
        (people.project_id, distinct_id, _next(owner.version), owner.person_id)
        for people in projects.values()
        for distinct_id, owner in people.changed_owners()
    )
    await _add(connection, _ADD_PERSONS, persons, 7)
    await _add(connection, _ADD_OWNERS, owners, 4)


async def _add(connection: "Connection", statement: str, rows: Sequence[tuple[object, ...]], width: int) -> None:
    if rows and await connection.execute(statement, *_columns(rows, width)) != f"INSERT 0 {len(rows)}":
        raise Conflict


def _next(version: int | None) -> int:
    return 0 if version is None else version + 1


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> Sequence[Sequence[object]]:
    return list(zip(*rows, strict=True)) or [()] * width
