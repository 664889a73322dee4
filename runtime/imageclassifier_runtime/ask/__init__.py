"""`imageclassifier classify`: photographs of a person's own, answered in this process or by a server."""
