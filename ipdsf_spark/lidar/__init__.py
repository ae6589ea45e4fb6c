"""Kernel: ceilometer files to boundary layer heights, in numpy. Knows no engine."""
