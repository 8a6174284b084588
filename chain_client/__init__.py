"""The chain half: an embedded chain that runs the real runtime, and its clients."""
