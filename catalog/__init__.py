"""Catalogs: manifests of pictures to make, in; what became of them, out.

files       where a catalog lies: this machine, s3://, https://; gzipped or not
rows        reads CSV, JSON Lines and Parquet, one row at a time
tables      rows of tables with types: Parquet, mappings, pandas and polars frames
folders     rows of pictures that are found: a folder or a pattern, and the faces they get
checks      decides of a row whether it can be enqueued, and says what is wrong with it
mistakes    what is wrong with rows, as a file
intake      checks a whole catalog and spools it for the database, or raises with every mistake in it
plan        what a run would do, cost and take, before it does; forecast is its arithmetic
enqueue     merges the spool into a batch: what is new, changed or failed is queued
report      how a batch stands
export      a batch's jobs with their pictures and metadata, as CSV or JSON Lines
writing     such a table as a file, also Parquet, here or in object storage
pictures    a batch's pictures as files, named by a template; places is where they go
"""
