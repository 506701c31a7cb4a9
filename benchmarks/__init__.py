"""Benchmarks, run by hand from the root of the repository: see README.md."""
