"""Heights as records, CSV rows and CF netCDF; their quality bits."""
