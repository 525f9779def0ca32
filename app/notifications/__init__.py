"""Telling people outside the API: what is to be told, to whom, and how it gets there.

What happens writes its notification in its own transaction; couriers in the workers deliver it afterwards, at least
once.
"""
