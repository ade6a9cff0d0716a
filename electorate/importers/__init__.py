"""Public data sets of votes and responses, turned into two tables that everything else here
reads.
"""
