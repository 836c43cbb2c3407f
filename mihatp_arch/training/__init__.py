"""The parts of a training that replace those of BasicSR's loop: data in order, whole checkpoints, exact resumption."""
