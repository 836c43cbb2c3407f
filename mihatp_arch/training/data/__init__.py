"""The data of a training: loaders, the order of the samples, images that cannot be read."""
