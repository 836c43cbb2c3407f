"""What BasicSR's training loop calls in place of its own parts: data in order, checkpoints whole, exact resumption."""
