"""What a run needs to go on: checkpoints, and how a run starts anew or resumes.

Imports: rounds and record. The state of one client lies in ``mpifl/rounds/client_state.py``.
"""
