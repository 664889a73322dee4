"""One classification: stages as plain functions on arrays, and the pipeline that runs them in order."""
