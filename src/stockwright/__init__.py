"""Stockwright keeps one true stock position across every system that holds or sells goods."""

__version__ = "0.1.0"
