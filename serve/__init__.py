"""What Ray Serve runs for Electorate: the contestants."""
