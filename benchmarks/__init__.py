"""Benchmarks: Tocsin measured side by side with what one would otherwise use."""
