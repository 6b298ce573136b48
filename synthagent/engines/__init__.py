"""Who does a command's jobs: this process, or workers of a Ray cluster."""
