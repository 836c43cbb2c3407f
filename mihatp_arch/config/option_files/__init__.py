"""The text of the files in options/: sections that all share, and a table of methods."""
