"""What a rank computes for clients, and their updates on the way into a round's sum.

client_runner.py runs the programs of a group of participants, and serving.py computes what these
ask for, side by side. client_update.py is what one of them sends, update_sum.py adds it up.
client_state.py has what clients keep between rounds. A request of programs is added in serving.py.
"""
