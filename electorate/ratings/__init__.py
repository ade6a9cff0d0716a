"""Ratings from votes: tie models, Bradley-Terry, System A and the central counts."""
