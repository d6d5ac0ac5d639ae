"""The feature schema: what a record's features must be, and which of them are not."""
