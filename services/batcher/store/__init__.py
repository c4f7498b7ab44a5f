"""The batcher's SQL, a file per noun.

Whatever writes to a connection's waiting calls holds that connection's lock (`connections.lock`) until its transaction
ends. So no two transactions wait for each other's rows, one call at most waits per read, and batches are claimed whole.
"""
