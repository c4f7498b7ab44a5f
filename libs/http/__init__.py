"""Outgoing HTTP: one way to build a client, with time-outs, a size cap and a guard against requests to ourselves."""
