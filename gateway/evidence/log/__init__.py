"""The log's formats, without where it is kept: Merkle tree, tiles, leaves, checkpoints, proof files."""
