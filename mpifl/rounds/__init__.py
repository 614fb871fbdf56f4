"""One round after the other: the part to read first.

experiment.py is what a rank knows; plan.py decides a round; protocol.py holds every message between ranks;
aggregator.py (rank 0) and executor.py (the others) are its two sides; client_update.py trains a group of clients;
server_step.py applies the round's sum. Imports everything below it; state, record, cluster and run import it.
"""
