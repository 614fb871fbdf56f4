"""What a run needs to go on: checkpoints, and how a run starts anew or resumes.

Imports: rounds and record. ``mpifl/rounds/clients/client_state.py`` has the state of clients.
"""
