"""Build, test and set-up tools; they import no other part of the project."""
