"""The HTTP side: admission, bodies, answers."""
