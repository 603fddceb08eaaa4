"""A graph in the one form that the other rooms read: functions inlined, shapes inferred, constants known."""
