"""Who sends a request, and how often: API keys, rate limits, the address behind trusted proxies."""
