"""The worker: picks up runs and moves them. arq carries hints to it; Postgres is where the work is."""
