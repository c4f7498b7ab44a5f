"""How platformbus is run: the local stack, the image, the database roles."""
