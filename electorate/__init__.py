"""The domain of Electorate in plain Python and arrays: nothing in here imports Ray."""
