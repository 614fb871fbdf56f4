"""When things happen, in virtual time: latency, availability, asynchronous events. No MPI, no torch.

``kernels`` holds the Numba code, ``policies`` one round policy a file. Here are what both share: the timeline
of a round (timeline.py), what a participant has to do (workload.py), and asynchronous rounds (asynchronous.py).
Imports: population, traces, job.
"""
