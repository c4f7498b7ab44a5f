"""The limiter of platforms' budgets: one for all replicas in Valkey, a careful one of its own while Valkey is away."""
