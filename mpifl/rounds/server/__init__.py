"""The server's side of a round, on rank 0.

server.py is its state, planning.py what it assigns next, server_step.py applies a round's sum,
evaluation.py makes scores of what the ranks have tested. What a round leaves for later rounds, such
as what a selection rule learns, is added to server.py and to snapshot.py of plan/.
"""
