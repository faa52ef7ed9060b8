"""All SQL and nothing else: migrations, named queries, typed functions, the embedded server."""
