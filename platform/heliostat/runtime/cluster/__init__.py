"""A shared Ray cluster: started, joined, asked, and given jobs."""
