"""The event store's intake: what an event must be, how many are stored at once, and where files of them come from."""
