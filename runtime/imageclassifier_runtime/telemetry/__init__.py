"""Metrics, and traces over OTLP/HTTP; the modules for traces are imported only if tracing is enabled."""
