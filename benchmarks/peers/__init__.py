"""Other tools that read rows out of Postgres, each at its best settings, in an environment of their own."""
