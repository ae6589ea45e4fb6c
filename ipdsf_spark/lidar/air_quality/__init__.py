"""From extinction to particle mass to an air quality index: always indicative, estimated from lidar."""
