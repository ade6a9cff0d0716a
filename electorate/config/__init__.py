"""What a study is: its typed configuration, and the systems and metrics it may name."""
