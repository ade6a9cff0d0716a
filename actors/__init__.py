"""Thin Ray actors around the domain: cohorts of personas and the central ranking."""
