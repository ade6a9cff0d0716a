"""Side-by-side measurements. Each prints its figure beside its reference; `make bench` runs all."""
