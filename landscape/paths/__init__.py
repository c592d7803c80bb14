"""Ways between points, and what lies on them: slices, saddles, barriers from above."""
