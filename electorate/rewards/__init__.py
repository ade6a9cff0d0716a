"""System B: a reward model that reads answers, shared by all users, and each user's own weights
on what it reads.
"""
