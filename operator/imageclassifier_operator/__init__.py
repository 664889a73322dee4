"""The operator: creates, updates and deletes the children of every ImageClassifier as its spec requires."""
