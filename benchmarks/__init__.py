"""How fast, and with how much memory: always as the ratio of two things measured in the same run."""
