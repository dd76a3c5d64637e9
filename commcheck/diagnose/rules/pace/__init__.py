"""Causes of slowness that shows as a failure."""
