"""The commands that need no cluster: what an installed `electorate` can do."""
