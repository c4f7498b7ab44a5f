"""A service without a database, whose parts do what a test tells them by HTTP.

Consumes: nothing. Publishes: nothing. Owns: nothing. Calls: nobody.
"""
