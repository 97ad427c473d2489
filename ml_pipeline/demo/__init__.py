"""The way of a model from a commit to production and back, as a pipeline goes it: `python -m ml_pipeline.demo`."""
