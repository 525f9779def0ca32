// What a TypeScript program does with the generated client: every value here is checked against the document by the
// compiler, and against the running service by being sent. Prints what it saw as one JSON document.
import { client } from "./client/client.gen";
import {
  projectsCancelBackfill,
  projectsCreateBackfill,
  projectsCreateExport,
  projectsDeleteExport,
  projectsListBackfills,
  projectsListExports,
  projectsListRuns,
  projectsPatchExport,
  projectsPauseExport,
  projectsRetrieveExport,
  projectsUnpauseExport,
} from "./client";
import type { ErrorBody, ExportRead, ExportWrite } from "./client";

async function journey(): Promise<void> {
  const [baseUrl, key, project_id] = process.argv.slice(2);
  client.setConfig({ baseUrl, auth: key });

  const body: ExportWrite = {
    name: "From TypeScript",
    interval: "hour",
    destination: {
      type: "S3",
      config: {
        bucket_name: "exports",
        region: "us-east-1",
        prefix: "typescript/{year}",
        aws_access_key_id: "an-access-key",
        aws_secret_access_key: "a-secret",
        file_format: "Parquet",
        compression: "zstd",
      },
    },
  };

  const created = await projectsCreateExport({ path: { project_id }, body });
  if (created.data === undefined) throw new Error(JSON.stringify(created.error));
  const made: ExportRead = created.data;
  const path = { project_id, export_id: made.id };

  const listed = await projectsListExports({ path: { project_id }, query: { limit: 10 }, throwOnError: true });
  const paused = await projectsPauseExport({ path, throwOnError: true });
  const unpaused = await projectsUnpauseExport({ path, body: { backfill: false }, throwOnError: true });
  const patched = await projectsPatchExport({ path, body: { name: "Renamed", interval: "day" }, throwOnError: true });
  const retrieved = await projectsRetrieveExport({ path, throwOnError: true });
  const backfill = await projectsCreateBackfill({
    path,
    body: { start_at: "2026-01-01", end_at: "2026-01-03" },
    throwOnError: true,
  });
  const backfills = await projectsListBackfills({ path, query: { ordering: "-start_at" }, throwOnError: true });
  const cancelled = await projectsCancelBackfill({
    path: { ...path, backfill_id: backfill.data.backfill_id },
    throwOnError: true,
  });
  const runs = await projectsListRuns({ path, query: { status: ["Completed", "Failed"] }, throwOnError: true });

  const refused = await projectsPatchExport({ path, body: { offset_day: 3 } });
  const refusal: ErrorBody | undefined = refused.error;
  const deleted = await projectsDeleteExport({ path });
  const gone = await projectsRetrieveExport({ path });

  console.log(
    JSON.stringify({
      team_id: made.team_id,
      config: made.destination.config,
      count: listed.data.count,
      names: listed.data.results.map((one) => one.name),
      paused: paused.data.paused,
      unpaused: unpaused.data.paused,
      patched: [patched.data.name, patched.data.interval],
      retrieved: retrieved.data.latest_runs.length,
      backfills: backfills.data.results.map((one) => one.id === backfill.data.backfill_id),
      cancelled: cancelled.data.cancelled,
      runs: runs.data.results.length,
      refusal,
      deleted: deleted.response?.status,
      gone: gone.response?.status,
    }),
  );
}

void journey();
