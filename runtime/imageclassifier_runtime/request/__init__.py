"""Request handling shared by all protocols: path, parameters, body, slow clients, and error responses."""
