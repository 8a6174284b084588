"""The compute half: models, the block runner, the wire, the provider's service, the swarm and the client.

Importing this package imports nothing heavy: pure modules stay usable where torch is not installed.
"""
