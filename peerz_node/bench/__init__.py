"""`peerz-node bench`: the published figures, each measured beside local execution in the same run."""
