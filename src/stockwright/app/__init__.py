"""The composition root: the only place that names every part of the house."""

from stockwright.app.connections import find_connector, open_connection
from stockwright.app.services import ROLES, Role, Services, open_database, open_services

__all__ = [
    "ROLES",
    "Role",
    "Services",
    "find_connector",
    "open_connection",
    "open_database",
    "open_services",
]
