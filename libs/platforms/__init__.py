"""What the platforms are and how to speak to them: a folder per platform, one list of them."""
