"""Builds the images on a Debian machine: without Docker, a registry, or network access in the build."""
