"""The real server of the API's tests, and clients of it."""

from tests.api.conftest import house, new_sku

__all__ = ["house", "new_sku"]
