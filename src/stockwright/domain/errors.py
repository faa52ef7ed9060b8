"""The error tree. What a caller does next is the type, the field at fault is an attribute.

StockwrightError
├── Rejected        do not send again; `field` names what is wrong, `reason` is a stable code
├── Transient       send the same again later
│   └── Throttled   ... after `retry_after_s`
└── Misconfigured   call an operator; `setting` names what to change
"""


class StockwrightError(Exception):
    """Any failure that Stockwright explains itself."""


class Rejected(StockwrightError):
    """The input can never be accepted as it is."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.message = message


class Transient(StockwrightError):
    """Nothing is wrong with the request; the same request may succeed later."""


class Throttled(Transient):
    """Too much at once. Nothing was kept of this request."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Misconfigured(StockwrightError):
    """An operator must change a setting before this can work."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting
