"""Apply trained networks to images and slides."""
