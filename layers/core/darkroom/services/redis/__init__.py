"""Redis: the view of each job, the slots of each operation, and what sweep has to do.

`keys` names every key, `client` connects, `scripts` runs the Lua scripts; each other module is one subject. A change of
state is one script with the fencing token (the attempt or the run) in its condition. It uses Redis' clock, so the
callers' clocks do not matter.
"""
