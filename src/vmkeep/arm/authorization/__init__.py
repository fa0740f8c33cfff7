"""Provider Microsoft.Authorization: management locks."""
