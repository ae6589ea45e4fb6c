"""Bytes to arrays: HDF5, netCDF classic, and the attributes of the CF conventions. Knows no instrument."""
