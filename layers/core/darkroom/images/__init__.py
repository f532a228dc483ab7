"""Reading, changing and writing images."""
