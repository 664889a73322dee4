"""Scheduling of requests: memory pools, the queue, the workers, batches."""
