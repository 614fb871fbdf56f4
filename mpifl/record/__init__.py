"""The run directory: rounds, participants, summary; and what a person sees while a run goes on."""
