"""Polls: language models that read a persona's card judge battles for it, and how far they can
be believed.
"""
