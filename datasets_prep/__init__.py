"""Image tiles (and procedural H&E with known nuclei) to BasicSR LMDBs; knows nothing of networks."""
