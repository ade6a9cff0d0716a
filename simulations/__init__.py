"""The experiment: its stages, its command line and its report."""
