"""``dlt_parquet.py URL BACKEND DIRECTORY``: a table to Parquet files with dlt, as fast as it goes.

Run by the peers' own Python. Chunks are as large as is of use, nothing is reflected that is not needed, Arrow tables
pass through as they are. The seconds that it has taken, without the start of the process, are in the file ``seconds``.
"""

import os
import sys
import time
from pathlib import Path

url, backend, directory = sys.argv[1:]
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"

import dlt  # type: ignore[import-not-found,unused-ignore]  # noqa: E402
from dlt.sources.sql_database import sql_table  # type: ignore[import-not-found,unused-ignore]  # noqa: E402

table = sql_table(
    credentials=url,
    schema="event_store",
    table="peers",
    backend=backend,
    chunk_size=100_000,
    reflection_level="minimal" if backend == "connectorx" else "full",
    backend_kwargs={"return_type": "arrow"} if backend == "connectorx" else {"tz": "UTC"},
)
pipeline = dlt.pipeline(
    "peers",
    destination=dlt.destinations.filesystem(bucket_url=f"file://{directory}/out"),
    dataset_name="peers",
    pipelines_dir=f"{directory}/pipelines",
)
started = time.monotonic()
pipeline.run(table, loader_file_format="parquet", write_disposition="replace")
Path(directory, "seconds").write_text(str(time.monotonic() - started))
