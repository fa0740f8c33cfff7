"""Provider Microsoft.Resources: subscription, tenant, resource groups."""
