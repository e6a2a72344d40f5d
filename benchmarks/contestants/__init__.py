"""The contestants, each a program of its own that is told by the environment where everything is."""

from __future__ import annotations

#: What every contestant sends as a job's pictures; nobody fetches them.
SOURCE = "https://pictures.example/source.png"
TARGET = "https://pictures.example/target.png"

#: Seconds the provider takes. No contestant is told, as nobody is in production, but the bare loop, which is the limit.
LATENCY_SECONDS = 5.0
#: What the provider's documents say it takes, which Recast's operation repeats.
DOCUMENTED_SECONDS = 10.0
#: Seconds between two polls of a job that was not ready at the first.
POLL_SECONDS = 1.0
#: Jobs at the provider at a time: twice what 1,000 jobs/s need (Little's law), which is more than any contestant does.
IN_FLIGHT = 10_000

# Names in the contestants' environment.
DATABASE_URL = "BENCH_DATABASE_URL"
BROKER_URL = "BENCH_BROKER_URL"
PROVIDER_URL = "BENCH_PROVIDER_URL"
RESULTS_URL = "BENCH_RESULTS_URL"  # a result store: there is one where a producer waits
PICTURES = "BENCH_PICTURES"  # where finished pictures go; without it, a result is an address in a row
THUMBNAILS = "BENCH_THUMBNAILS"  # set: each picture is decoded, and gets a thumbnail
INPUTS = "BENCH_INPUTS"  # what a producer puts a number behind for each job's target; without it, all have `TARGET`
