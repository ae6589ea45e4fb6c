"""Bytes to arrays: HDF5, netCDF classic. Knows no lidar."""
