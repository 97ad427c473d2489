"""The real-time service: what `ml_pipeline/serve.py` starts."""
