"""The demonstration: the whole streaming flow on one machine, ending in a page of pictures."""
