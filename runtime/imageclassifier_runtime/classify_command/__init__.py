"""`imageclassifier classify`: classifies photographs in this process, or with a running server."""
