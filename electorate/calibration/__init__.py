"""Planted populations fitted to people's votes."""
