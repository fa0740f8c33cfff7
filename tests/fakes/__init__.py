"""Fakes of the pillars that keep the same promises (tests/contracts) and survive a kill, as they live on disk.

Each calls `on(phase)` at its named phases: a test raises there, waits there, or kills the process there.
"""
