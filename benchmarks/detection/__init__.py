"""What the detectors find, how soon, and how often they are wrong."""
