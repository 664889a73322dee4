"""What builds, tests and prepares the project; it imports nothing of the project's other parts."""
