"""Computed tomography: volumes in and out, Hounsfield units and contrast, cubes and stitching, PSNR and SSIM.

A kernel: numpy, scipy, SimpleITK, nibabel, pydicom and scikit-image, no engine.
"""
