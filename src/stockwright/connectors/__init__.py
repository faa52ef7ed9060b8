"""One folder per partner system. A connector knows `sdk` and `domain`, and no other connector."""
