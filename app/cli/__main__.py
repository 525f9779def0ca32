"""``python -m app.cli`` is ``batch-exports``."""

from app.cli import main

main()
