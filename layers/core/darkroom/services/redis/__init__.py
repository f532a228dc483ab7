"""The view of every job in Redis."""
