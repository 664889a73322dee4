"""Figures that the project states about itself, each by a command that anyone can run again."""
