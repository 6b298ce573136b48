"""A load test of the servers of episodes: `python -m benchmarks.serve --out FILE`, or `make bench-serve`."""
