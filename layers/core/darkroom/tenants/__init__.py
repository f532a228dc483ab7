"""Tenants and who acts for them."""
