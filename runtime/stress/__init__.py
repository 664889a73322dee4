"""Stress tests: try to make a real server respond incorrectly or exceed its memory limit."""
