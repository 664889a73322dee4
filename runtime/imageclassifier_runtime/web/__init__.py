"""The HTTP server around the protocols: connections, authentication, access log, documentation, the page."""
