"""Processes among others: one at a time, how signals end them, and how far they are."""
