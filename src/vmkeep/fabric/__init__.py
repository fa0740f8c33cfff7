"""This host's VMs: inventory, restore points, networks, restores. The only package that knows libvirt."""
