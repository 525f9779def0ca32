"""What every repository is built from."""

from sqlalchemy.ext.asyncio import AsyncSession


class Repository:
    """Holds the SQL of one aggregate. Works in the session it is given and never commits: its caller does, once."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
