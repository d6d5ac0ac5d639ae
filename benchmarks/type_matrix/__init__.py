"""How each library reads a value that comes as another type, behind a server as its users write it."""
