"""What super-resolution does to nuclei: Table 2 of the paper, and the nuclei that are lost, invented or reshaped."""
