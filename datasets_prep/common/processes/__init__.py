"""Processes among others: one at a time, and how signals end them."""
