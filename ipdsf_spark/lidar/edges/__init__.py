"""Edges of the time–height image: where backscatter falls or rises with height, followed from interval to interval."""
