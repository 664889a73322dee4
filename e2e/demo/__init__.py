"""Starts a cluster and classifies a photograph in it, in one command."""
