"""JSON-RPC of the embedded chain: HTTP and WebSocket on one port, as polkadot-sdk's nodes speak it."""
