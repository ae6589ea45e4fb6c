"""What the beam meets, gate by gate: cloud of water or ice, drizzle, rain, fog, aerosol, nothing; own cloud bases."""
