"""Durable programs that do jobs; the only place where the pillars meet."""
