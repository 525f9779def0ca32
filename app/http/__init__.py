"""The HTTP side that all routes share."""
