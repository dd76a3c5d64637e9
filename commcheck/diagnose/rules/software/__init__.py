"""Causes in what is installed: libraries, versions, drivers, transports, builds."""
