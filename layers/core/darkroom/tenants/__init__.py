"""Tenants: their credentials, what is stored about them, and what the authorizer tells the API."""
