"""What is wrong with a query or a filter, told to whoever wrote it; its callers say in which field it stood."""


class NotUnderstood(Exception):
    """The message is a sentence without a full stop, and quotes what was written."""


class NotParsed(NotUnderstood):
    """It is no HogQL at all."""
