"""Planted personas: their tastes, battles, votes and counts."""
