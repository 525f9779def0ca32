"""Batch Exports: product-analytics events, streamed out of an event store into people's own stores."""
