"""The convex room: two-layer ReLU networks on finite data (Wang, Lacotte and Pilanci 2022)."""
