"""Parking: a record that fails for its own reason is set aside with its key; everything else flows, order stays."""
