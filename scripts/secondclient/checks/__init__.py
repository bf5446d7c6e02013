"""What each file of vectors means to this client."""
