"""The topology of sublevel sets: barriers between minima as intervals, and the tree in which valleys merge."""
