"""`imageclassifier quantize`: creates a model folder with an additional int8 graph, calibrated with photographs.

Neither `serve` nor `fetch` imports this package.
"""
