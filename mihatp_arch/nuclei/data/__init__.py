"""Data sets of nuclei, in the forms that people publish them in, as pairs that `HoVerNetModel` trains on."""
