"""What the services remember between steps: campaigns, Jobs, reviews, leases and the purse, in SQL.

SQLite for one machine, PostgreSQL for a cluster, one code path. Bulk data does not live here: it is in the
artifacts, from which everything that matters can be computed again.
"""
