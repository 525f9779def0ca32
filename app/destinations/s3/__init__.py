"""Amazon S3 and stores that speak its protocol (the contract's section 10.1)."""

from app.destinations.s3.family import S3, AwsS3, S3Compatible

__all__ = ["S3", "AwsS3", "S3Compatible"]
