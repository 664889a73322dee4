"""The controller: keeps the children of every ImageClassifier in the shape its spec asks for."""
