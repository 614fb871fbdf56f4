"""A round before anything is trained: plan.py decides with selection and clock who takes part.

round_result.py is what training adds to a plan, snapshot.py a run between two rounds. Nothing here
imports torch or MPI. What a round policy or a selection rule is asked for is added in asking.py.
"""
