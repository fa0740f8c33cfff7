"""The ground floor: errors, clock, ids, units, configuration, logging, database. Knows nothing of backups."""
