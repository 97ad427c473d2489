"""What went where, when, by whom and on which evidence: a chain of entries for each environment, in an object store.

It is the one truth. MLflow's aliases and what a target runs are projections of it, repaired from it.
"""
