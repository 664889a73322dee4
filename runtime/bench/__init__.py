"""Measures the server against the limit of the same cores and against what a tutorial would write."""
