"""A second client for the Courtyard protocol, written from protocol/README.md alone."""
