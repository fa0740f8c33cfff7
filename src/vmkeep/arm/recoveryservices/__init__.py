"""Provider Microsoft.RecoveryServices: vaults and all of backup."""
