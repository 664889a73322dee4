"""Where a model comes from: checked for digest, address and form before the server sees it."""
