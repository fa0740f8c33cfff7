"""The wire server: what the Azure Linux agent and the VMSnapshot extension talk to. Faces hostile guests."""
