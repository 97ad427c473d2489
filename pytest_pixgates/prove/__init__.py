"""Whether the gates can still turn red: defects, put one at a time into a copy of the repository, must each be caught
by the gate that is there for it; harmless changes must stay green.

`catalogue` reads what is to be tried, `operations` makes the changes, `place` is the copy, `gates` runs what is
affected, `judge` says what came of it, `prove` does all of it, and `matrix` is what is left.
"""
