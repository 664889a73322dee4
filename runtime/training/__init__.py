"""Rebuilds the bundled model: data, network, training, export, evaluation."""
