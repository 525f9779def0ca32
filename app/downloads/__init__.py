"""File downloads: exports that are made once, on demand, and fetched by signed links (the contract's section 12)."""
