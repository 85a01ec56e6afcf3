"""Who may ask, and how much: API keys with roles, tenants and limits. Knows no Redis."""
