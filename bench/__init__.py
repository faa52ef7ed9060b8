"""Measurements of Stockwright against what one would write without it: `make bench`.

They measure, they do not test: each prints a ratio taken in turns on the same machine, and nothing
fails when a machine is slow.
"""
