"""What a model is: a folder with a graph, its labels and how images are prepared for it."""
