"""The command line. No back door: everything it does goes through the ARM API."""
