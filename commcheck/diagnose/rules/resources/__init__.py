"""Causes of used-up memory and storage."""
