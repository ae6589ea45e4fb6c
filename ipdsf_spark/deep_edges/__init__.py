"""A small network that finds edges in time–height images. KERNEL: torch and numpy; knows images, not lidars."""
