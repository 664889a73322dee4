"""What the server reports about itself: metrics, and traces over OTLP/HTTP, imported only where they are on."""
