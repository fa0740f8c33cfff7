"""The ARM-compatible REST API: speaks ARM, starts workflows, reads the catalog."""
