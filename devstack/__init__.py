"""What runs without keys or installed servers: real PostgreSQL and Valkey from wheels, and the provider sandbox.

Only the command line, the benchmarks and the tests import this package.
"""
