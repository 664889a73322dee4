"""What the OpenAPI document says about each route."""
