"""The command line: a plain client of the ARM API."""
