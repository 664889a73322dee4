"""What the commands are told: the environment, read once, checked and then frozen."""
