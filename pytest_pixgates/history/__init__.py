"""What earlier runs measured: kept run by run, compared with the target branch, watched for a slow slide.

Nothing here can change a verdict. A history that can't be read or written is said, and the run goes on without it.
"""
