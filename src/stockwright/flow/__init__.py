"""One station of the data's way per file; each works in bounded, repeatable steps."""
