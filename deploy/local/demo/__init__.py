"""The demo: the slice's traffic through the running stack, and a report: is every number as it must be?"""
