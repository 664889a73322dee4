"""The container and the operating system: quotas, memory, deadlines, the termination message."""
