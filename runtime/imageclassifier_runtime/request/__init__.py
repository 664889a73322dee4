"""What every protocol needs of a request: path, parameters, body, slow clients, and errors as answers."""
