"""What finds motion: DIS, RAFT, a pyramid that needs neither, and the search for large motion before them."""
