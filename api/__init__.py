"""Darkroom's HTTP API."""
