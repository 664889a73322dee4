"""Measures the figures in the README, each with a command that can be repeated."""
