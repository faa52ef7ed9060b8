"""Pure rules: no input or output, no clock, no chance. Time and identity come in as arguments."""
