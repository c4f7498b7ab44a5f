"""What the benchmarks share: servers and a database of their own, rounds and medians, the state of the machine."""
