"""Settings of the commands: read from the environment once, validated and then frozen."""
