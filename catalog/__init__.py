"""Catalogs: manifests of pictures to make.

files       where a catalog lies: this machine, s3://, https://; gzipped or not
rows        reads CSV, JSON Lines and Parquet, one row at a time
tables      rows of tables with types: Parquet, mappings, pandas and polars frames
folders     rows of pictures that are found: a folder or a pattern, and the faces they get
checks      decides of a row whether it can be enqueued, and says what is wrong with it
mistakes    what is wrong with rows, as a file
intake      checks a whole catalog and spools it for the database, or raises with every mistake in it
plan        what a run would do, cost and take, before it does; forecast is its arithmetic
enqueue     merges the spool into a batch: what is new, changed or failed is queued
scheduled   one run of a schedule
runs        runs of tables for programs: what `recast.run` does
"""
