"""One classification: plain functions on arrays, each tested and timed alone, and what puts them in order."""
