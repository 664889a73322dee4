"""Tests and demos against a real Kubernetes."""
