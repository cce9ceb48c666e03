"""What is served, and by which settings: the applications that an arbiter is given."""
