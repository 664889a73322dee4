"""Reads and validates model folders: the graph, its labels and its preprocessing."""
