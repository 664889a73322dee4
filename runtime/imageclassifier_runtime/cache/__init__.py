"""Caches results by content hash in this process and, if set, in Redis. Imported only if the cache is enabled."""
