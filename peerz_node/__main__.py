from peerz_node.entry import main

main()
