"""What the embedded bucket holds, finished or not."""

from app.embedded import Stack
from tests.destinations.harness import open_s3


async def contents(stack: Stack, prefix: str) -> dict[str, bytes]:
    """Every object under a prefix, by key. There must be no unfinished upload."""
    async with open_s3(stack.s3) as s3:
        bucket = stack.s3["bucket_name"]
        uploads = (await s3.list_multipart_uploads(Bucket=bucket)).get("Uploads", [])
        assert [upload for upload in uploads if upload["Key"].startswith(prefix)] == []
        found = {}
        for item in (await s3.list_objects_v2(Bucket=bucket, Prefix=prefix)).get("Contents", []):
            body = (await s3.get_object(Bucket=bucket, Key=item["Key"]))["Body"]
            found[item["Key"]] = await body.read()
        return found
