"""What `pixgates init` proposes to a repository that has no gates yet."""
