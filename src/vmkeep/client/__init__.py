"""A small HTTP client of the ARM API, used by the command line."""
