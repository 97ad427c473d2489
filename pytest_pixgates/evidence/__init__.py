"""Evidence: what a run of gates showed, signed, so that another machine can ask for it before anything goes out.

`sign` makes it from closed records in a process of its own, `verify` believes nothing that it can't check.
"""
