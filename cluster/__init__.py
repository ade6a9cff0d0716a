"""Connecting to Ray, on this machine, in a job or on a cluster."""
