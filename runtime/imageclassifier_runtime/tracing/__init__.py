"""Traces of requests over OTLP/HTTP. Only `settings` is imported where tracing is off."""
