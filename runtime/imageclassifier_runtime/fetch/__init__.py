"""`imageclassifier fetch`: downloads a model, and checks its address, digest and content before it is served."""
