"""Objects and tables: stores, schemas, Parquet shards, manifests and what removes leftovers."""
