"""The round loop: the part to read first.

experiment.py is what a rank needs to know; plan.py decides a round; protocol.py holds every message
between ranks. aggregator.py (rank 0) and executor.py (the others) are its two sides; server.py is
the state of rank 0. client_update.py trains a group of clients; server_step.py applies a round's
sum. This package imports everything below it; state, record, cluster and run import it.
"""
