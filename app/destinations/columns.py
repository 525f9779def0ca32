"""Which columns of a model a family of destinations stores (the contract's section 9.1)."""

FILE_COLUMNS = (
    "uuid",
    "event",
    "properties",
    "distinct_id",
    "person_id",
    "person_properties",
    "elements_chain",
    "timestamp",
    "created_at",
    "_inserted_at",
)
"""The S3 family and file downloads."""
