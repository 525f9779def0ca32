"""Credentials for a kind of destination, kept once and used by many exports.

Knows of exports only whether they use it.
"""
