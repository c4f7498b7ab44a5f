"""The services: each owns one Postgres schema and speaks to the others through topics only."""
