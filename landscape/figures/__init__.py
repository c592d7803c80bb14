"""Figures: records in, Matplotlib figures out, one topic a file. What has to be computed first is done elsewhere."""
