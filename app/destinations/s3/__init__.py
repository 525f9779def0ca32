"""Amazon S3 and stores that speak its protocol, with credentials in the config (the contract's section 10.1)."""

from app.destinations.s3.destination import S3, S3Compatible

__all__ = ["S3", "S3Compatible"]
