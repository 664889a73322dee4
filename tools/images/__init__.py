"""Builds the images on a Debian machine: no Docker engine, no registry, no network in the build."""
