"""Who asks, and how often: API keys, rates, and the addresses behind trusted proxies."""
