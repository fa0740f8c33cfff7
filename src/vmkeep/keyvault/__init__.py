"""Keeps keys and wraps others with them."""

from vmkeep.keyvault.local_keyring import LocalKeyring

__all__ = ["LocalKeyring"]
