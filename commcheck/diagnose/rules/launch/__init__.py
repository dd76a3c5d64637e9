"""Causes before and beside communication: launchers, ssh, the program itself."""
