"""Results by content hash: in this process, and in Redis where it is named. Imported only where it is on."""
