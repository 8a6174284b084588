from peerz_node.cli import main

main()
