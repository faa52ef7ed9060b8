"""What can go wrong with the database, as branches of the house's error tree.

StockwrightError
├── Transient
│   ├── DatabaseUnavailable   it does not answer; try again
│   ├── ServerDidNotStart     the embedded server stopped before it answered
│   └── Throttled
│       └── PoolExhausted     every connection is in use
└── Misconfigured             `setting` names what to change, the message the next step
    ├── ProgramsMissing       no PostgreSQL programs for this platform
    ├── DirectoryUnusable     the data directory cannot be reached, or is somebody else's
    ├── AccountUnusable       the server has no unprivileged account to run under
    ├── UpgradeNeeded         the data belong to another major version of PostgreSQL
    ├── DatabaseTooOld        the server is older than the oldest we support
    ├── DatabaseNewer         a newer Stockwright has migrated this database
    └── MigrationChanged      an applied migration is not the file it was
"""

from stockwright.domain.errors import Misconfigured, Throttled, Transient


class DatabaseUnavailable(Transient):
    """The database does not answer, or went away."""


class ServerDidNotStart(Transient):
    """The embedded server ended or stayed silent instead of answering."""


class PoolExhausted(Throttled):
    """Every connection of the pool was in use for as long as the caller would wait."""


class ProgramsMissing(Misconfigured):
    """The PostgreSQL programs are not installed, or do not run here."""


class DirectoryUnusable(Misconfigured):
    """The data directory cannot be used by the account that has to."""


class AccountUnusable(Misconfigured):
    """No unprivileged account was found to run the server under."""


class UpgradeNeeded(Misconfigured):
    """The data directory was written by another major version of PostgreSQL."""


class DatabaseTooOld(Misconfigured):
    """The server's version is below the oldest supported one."""


class DatabaseNewer(Misconfigured):
    """The database carries migrations this code does not know."""


class MigrationChanged(Misconfigured):
    """A migration that was applied no longer reads as it did."""
