"""A study: the blocks of work it is made of, and where that work is done."""
