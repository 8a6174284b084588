"""The embedded chain: executes the Peerz runtime in-process, authors blocks, keeps its state.

A single author and no peers: made for development, tests and small private networks, not for consensus.
"""
