"""The stages of one classification, each a plain function that can be tested and timed alone."""
