"""The round loop: the part to read first.

aggregator.py (rank 0) and executor.py (the others) are the two sides of the loop, protocol.py holds
every message between them, tickets.py what they share out. The folders are what they call, from low
to high; each imports the ones before it and what lies below this package:

plan/        what a round is before anything is trained: who takes part, when it ends
experiment/  from a job to what every rank knows of it, its checks, and what it will take
clients/     what a rank computes for clients, and their updates on the way into a round's sum
server/      the state of rank 0, and the server's step

state, record, messages, cluster and run import this package.
"""
