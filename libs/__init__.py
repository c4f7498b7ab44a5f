"""Duties that more than one service has, each without a service's own words."""
