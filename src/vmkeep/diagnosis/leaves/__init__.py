"""The leaves of the tree of causes, one file for each branch."""
