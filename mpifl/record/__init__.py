"""The run directory: rounds, participants and summary; and the lines that a run prints."""
