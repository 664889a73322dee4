"""Exists so that the bundled model can be made again: data, network, training, export, evaluation."""
