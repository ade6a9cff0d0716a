"""What everything builds on: errors, scale, random draws, registries."""
