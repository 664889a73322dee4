"""`imageclassifier quantize`: from a model folder and photographs to a folder that also holds an int8 graph.

Nothing of this is imported by `serve` or `fetch`.
"""
