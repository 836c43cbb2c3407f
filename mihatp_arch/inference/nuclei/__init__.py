"""Nuclei of images and of whole slides: segment them with a HoVer-Net, measure them, and write them for QuPath."""
