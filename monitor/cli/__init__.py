"""The command line: one file a command, no decisions. Commands import what they need when they run."""
