"""Everything that can be killed is, and every clock is moved; then the books are read. `make chaos` runs it."""
