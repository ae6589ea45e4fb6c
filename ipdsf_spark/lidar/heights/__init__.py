"""Layer heights of any tool as one series, and their comparison with a reference by the hours of the sun."""
