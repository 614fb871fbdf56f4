"""When things happen, in virtual time: latency, availability, events. No MPI, no torch.

``kernels`` holds the Numba code, ``policies`` one round policy a file. The files here are what the
policies share: the base class (policy.py, on participation.py), the timeline of a round
(timeline.py), a participant's work (workload.py), and asynchronous rounds (asynchronous.py).
Imports: population, traces, job.
"""
