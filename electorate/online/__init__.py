"""Votes that an application sends, one user at a time, and the rankings they give it back."""
