"""What the embedded bucket holds, finished or not."""

from aiobotocore.session import get_session

from app.embedded import Stack


async def contents(stack: Stack, prefix: str) -> dict[str, bytes]:
    """Every object under a prefix, by key. There must be no unfinished upload."""
    async with get_session().create_client(
        "s3",
        region_name=stack.s3["region"],
        endpoint_url=stack.s3["endpoint_url"],
        aws_access_key_id=stack.s3["aws_access_key_id"],
        aws_secret_access_key=stack.s3["aws_secret_access_key"],
    ) as s3:
        bucket = stack.s3["bucket_name"]
        uploads = (await s3.list_multipart_uploads(Bucket=bucket)).get("Uploads", [])
        assert [upload for upload in uploads if upload["Key"].startswith(prefix)] == []
        found = {}
        for item in (await s3.list_objects_v2(Bucket=bucket, Prefix=prefix)).get("Contents", []):
            body = (await s3.get_object(Bucket=bucket, Key=item["Key"]))["Body"]
            found[item["Key"]] = await body.read()
        return found
