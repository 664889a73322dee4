"""From no cluster at all to classes of a photograph, in one command."""
