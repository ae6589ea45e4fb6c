"""3-D conditional GAN on cubes of CT: networks, one adversarial update, checkpoints, inference.

A kernel: torch and numpy only. Cubes are float32 tensors (B, 1, S, S, S) of enhanced levels in [-1, 1]; the condition
is the degraded cube, the target the clean one. What degrades and enhances them is not known here.
"""
