"""The compute: torch and transformers, no HTTP. Everything here can be called directly."""
