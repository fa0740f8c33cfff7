"""Picks implementations, wires everything, runs it."""
