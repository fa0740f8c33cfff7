"""Dumb named objects: one protocol, and one file for each place or added behaviour."""
