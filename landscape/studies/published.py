"""Published shares that runs are compared with."""

# Percent of 1000 runs with loss >= 1e-3 and its 95% Wilson interval, from the data published with Safran and Shamir
# 2017 (Results/newExp-k-n.mat, sums of `magnitude`); (k, n): percent, low, high.
PUBLISHED = {
    (6, 6): (0.3, 0.1, 0.9), (7, 7): (5.5, 4.2, 7.1), (8, 8): (12.6, 10.7, 14.8), (10, 10): (34.6, 31.7, 37.6),
    (12, 12): (58.5, 55.4, 61.5), (15, 15): (80.3, 77.7, 82.6), (20, 20): (94.9, 93.4, 96.1), (8, 9): (0.1, 0.02, 0.56),
    (10, 11): (0.1, 0.02, 0.56), (12, 13): (0.3, 0.1, 0.9), (15, 16): (10.2, 8.5, 12.2),
}  # fmt: skip
