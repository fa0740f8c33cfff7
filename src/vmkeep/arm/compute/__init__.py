"""Provider Microsoft.Compute: this host's VMs, read only."""
