"""What super-resolution does to nuclei: lost, invented, reshaped; and how well they are found in SR."""
