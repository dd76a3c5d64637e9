"""Read-only looks at a host: interfaces, routes, names, limits, versions, connection attempts.

What may not be here: torch, judgement, or anything that raises because a host is odd. Every probe has a bounded time.
"""
