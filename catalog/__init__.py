"""Catalogs: manifests of pictures to make, in; what became of them, out.

rows        reads CSV and JSON Lines, one row at a time
checks      decides of a row whether it can be enqueued, and says what is wrong with it
intake      checks a whole catalog and spools it for the database, or raises with every mistake in it
enqueue     merges the spool into a batch: what is new, changed or failed is queued
report      how a batch stands
export      a batch as CSV or JSON Lines, and its pictures as files
"""
