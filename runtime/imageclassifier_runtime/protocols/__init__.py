"""What each protocol says: requests to images or tensors, outcomes to answers; one path between the two."""
