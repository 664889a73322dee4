"""What the OpenAPI document says about each route, with a model of each response."""
