"""Real guests for tests: a private libvirt in a closed network namespace, and VMs restored from memory."""
