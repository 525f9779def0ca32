"""The outcome of a verification, as the API and the command line show it."""

from uuid import UUID

from pydantic import BaseModel, Field

from app.fingerprint import Fingerprint
from app.models import RunStatus
from app.verification.compare import Comparison, Subject


class ContentRead(BaseModel):
    rows: int
    uuid_hash: str | None = Field(
        description="Of all rows, whatever their order: the sum, modulo 2^64, of the first 8 bytes, big-endian, of the "
        "MD5 of the text that `identity` names. In hexadecimal digits; null where rows were counted only."
    )

    @staticmethod
    def digits(content: Fingerprint, identity: str | None) -> str | None:
        return f"{content.uuid_hash:016x}" if identity is not None else None


class HeldRead(ContentRead):
    bytes: int
    files: int


class RecordRead(BaseModel):
    rows: int
    bytes: int
    files: int


class VerificationRead(BaseModel):
    run_id: UUID
    status: RunStatus
    matches: bool = Field(description="Whether there is no difference at all.")
    identity: str | None = Field(
        description="The column by which rows were told apart: `uuid` of events, `distinct_id` of persons, "
        "`session_id` of sessions. Null for exports with a select list of their own, whose rows were counted only."
    )
    source: ContentRead = Field(description="What the event store holds for the run's interval.")
    destination: HeldRead = Field(description="What was read back from the run's objects.")
    record: RecordRead = Field(description="What the service has on record.")
    differences: list[str] = Field(description="What is not as it should be, and what to do.")

    @classmethod
    def of(cls, subject: Subject, found: Comparison) -> "VerificationRead":
        held = found.destination
        return cls(
            run_id=subject.run_id,
            status=RunStatus(subject.status),
            matches=not found.differences,
            identity=found.identity,
            source=ContentRead(rows=found.source.rows, uuid_hash=ContentRead.digits(found.source, found.identity)),
            destination=HeldRead(
                rows=held.content.rows,
                uuid_hash=ContentRead.digits(held.content, found.identity),
                bytes=held.bytes,
                files=held.files,
            ),
            record=RecordRead(
                rows=subject.rows,
                bytes=subject.bytes,
                files=sum(not file.is_manifest for file in subject.files),
            ),
            differences=list(found.differences),
        )
