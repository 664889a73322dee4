"""Connections to other servers: trusted certificate authorities, and proxies."""
