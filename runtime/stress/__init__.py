"""Tries to make a real server respond wrongly or exceed its memory limit."""
