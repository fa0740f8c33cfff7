"""Encrypted, deduplicated, content-addressed storage behind one vault."""
