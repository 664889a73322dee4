"""`imageclassifier classify`: your own photographs, answered in this process or by a server."""
