"""The same work on other frameworks, side by side: ``python -m benchmarks.peers WORKLOAD [--with floor,ours,pfl,...]``.

A driver (``floor.py``, ``ours.py``, ``pfl.py``, ...) is a program of its own, which runs in its framework's environment. It is
given a file that says what to do (``work.Order``) and prints one line of JSON that says what it did (``work.report``).
"""
