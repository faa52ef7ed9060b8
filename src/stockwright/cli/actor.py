"""Who sits at the command line, as the audit log names them."""

import getpass


def actor() -> str:
    """`cli NAME`; `cli` alone where the machine does not know the account's name."""
    try:
        return f"cli {getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"
