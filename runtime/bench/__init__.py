"""Measures the server against the limit of the same cores and against a tutorial-style app."""
