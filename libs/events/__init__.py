"""Wire contracts: the envelope, one file of models per topic, and the declaration of every topic."""
