"""A small client of the ARM API: log in, call, page, poll. Speaks HTTP only."""
