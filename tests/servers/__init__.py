"""Recast on the servers that people have: Debian's PgBouncer, Redis and nginx, with TLS, users, prefixes and Sentinel.

`make servers` runs these tests. Each is skipped, by name, where its program is not installed.
"""
