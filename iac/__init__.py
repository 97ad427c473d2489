"""The infrastructure as code, and the one command that changes it: `python -m iac.apply`."""
