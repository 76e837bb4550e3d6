"""Who sets Tocsin up and who uses it: a module for each of them, and their turns.

Each takes an `Api` with a key of its own, so each has a rate limit of its own.
"""
