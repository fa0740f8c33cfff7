"""Who may call: clients, their secrets, tokens, and how clients discover where to log in."""
