"""Tests on a real cluster, with real objects, pods and HTTP requests."""
