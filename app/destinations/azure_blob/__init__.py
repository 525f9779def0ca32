"""Azure Blob Storage (the contract's section 10.2)."""

from app.destinations.azure_blob.destination import AzureBlob

__all__ = ["AzureBlob"]
