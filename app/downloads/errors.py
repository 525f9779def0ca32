"""How downloads are refused, beyond what all routes have in common."""

from app.errors import TooManyRequests, ValidationFailed


class TooManyConcurrentDownloads(TooManyRequests):
    type = "server_error"
    default_code = "too_many_concurrent_file_downloads"
    default_detail = "Too many concurrent file download batch exports for this team."


class NoBucket(ValidationFailed):
    default_code = "not_configured"
    default_detail = (
        "This installation has no file downloads: they need a bucket of the service's own. Whoever runs it can set "
        "BATCH_EXPORTS_DOWNLOAD_BUCKET_NAME and what belongs to it, for the API and the workers."
    )
