"""What a run leaves on disk: its folder, its vote log, and the answers kept between runs."""
