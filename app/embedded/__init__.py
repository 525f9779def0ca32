"""The services that the product stands on, from wheels: PostgreSQL 18, Valkey 9 and an S3 server.

For ``demo``, ``dev``, ``services`` and the tests; production has services of its own.
"""

from app.embedded.stack import Stack, open_stack

__all__ = ["Stack", "open_stack"]
