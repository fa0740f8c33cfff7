"""Keeps keys and wraps others with them."""
