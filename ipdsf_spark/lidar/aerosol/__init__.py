"""From calibrated attenuated backscatter to the extinction of particles: air, types of aerosol, forward inversion."""
