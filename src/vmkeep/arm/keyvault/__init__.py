"""Provider Microsoft.KeyVault, and the key vaults' own API at their own host names."""
