"""Who is served when: room for bytes, the queue, the workers, batches."""
