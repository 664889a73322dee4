"""The protocols: each parses requests to images or tensors and renders outcomes; all share one request path."""
