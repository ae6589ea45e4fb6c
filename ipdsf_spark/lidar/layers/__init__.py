"""Averages to boundary layer heights: wavelet, candidates, tracking, uncertainty."""
