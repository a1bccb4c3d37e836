"""A believable month of traffic, for `make run` and for trying pages. Pure but for `load`."""
