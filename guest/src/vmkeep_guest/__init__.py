"""The VMSnapshot extension that the Azure Linux agent runs in the guest. Standard library only, Python 3.6+."""
