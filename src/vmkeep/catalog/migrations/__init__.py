"""How the schema came to be, one revision after the other. Revisions are never edited once released."""
