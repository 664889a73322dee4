"""Classifies one image or tensor: the stages as functions on arrays, and the pipeline that runs them in order."""
