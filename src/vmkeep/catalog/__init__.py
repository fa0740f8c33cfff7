"""What the service remembers: vaults, policies, protected items, recovery points, jobs, restore points."""
