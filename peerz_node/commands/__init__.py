"""One module per command. Nothing here imports torch or hivemind before a command runs."""
