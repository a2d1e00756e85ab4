"""The protocol: what a Tinker client says over HTTP and what it hears back. No torch."""
