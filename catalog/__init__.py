"""Catalogs: manifests of pictures to make.

files       opens a catalog: a local file, s3:// or https://; gzipped or not
rows        reads CSV, JSON Lines and Parquet, one row at a time
tables      rows of tables with types: Parquet, mappings, pandas and polars frames
origin      the place that a batch was made from, and whether another run comes from there
folders     finds pictures by folder or pattern and makes a row for each
pictures    finds out about each picture that a cell names
checks      decides whether a row can be enqueued, and says what is wrong with it
mistakes    writes the mistakes in rows to a file
intake      checks a whole catalog and spools it for the database, or raises with every mistake in it
plan        computes what a run would do and cost (a dry run); forecast computes how long it takes
enqueue     merges the spool into a batch and queues the rows that are new, changed or failed
fire        starts one run of a schedule
runs        runs a table for a program: what `recast.run` does
"""
