"""What every operation on media uses."""
