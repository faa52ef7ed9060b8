"""`stockwright audit`: prove that the books add up."""

from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from stockwright.app import open_database
from stockwright.cli import output
from stockwright.config import load_config
from stockwright.flow.audit import AuditReport, run_audit
from stockwright.store.audit import check_names
from stockwright.store.connection import connect


def command(
    *,
    rebuild: Annotated[
        bool,
        Parameter(negative="", help="Build the balances anew and compare them byte for byte."),
    ] = False,
    config: output.ConfigFile = None,
    as_json: output.AsJson = False,
) -> int:
    """Prove on one snapshot that ledger, balances, claims and demand lines agree.

    Runs beside a working server and changes nothing. Ends with 1 where a proof fails.
    """
    with (
        open_database(load_config(config)) as url,
        connect(url, application_name="stockwright audit") as connection,
    ):
        checks = len(check_names()) + rebuild
        with output.progress("Auditing", checks, as_json) as advance:
            report = run_audit(connection, lambda *_step: advance(1), rebuild=rebuild)
    output.emit(report, as_json, _render)
    return output.OK if report.ok else output.FINDINGS


def _render(report: AuditReport) -> Text:
    lines = [
        f"{'ok' if check.ok else 'FAILED':<7} {check.name:<13} {check.rows:>12,}  {check.detail}"
        for check in report.checks
    ]
    failed = sum(not check.ok for check in report.checks)
    lines.append(
        f"{failed} of {len(report.checks)} proofs failed" if failed else "The books add up."
    )
    return Text("\n".join([f"{'':<7} {'proof':<13} {'rows':>12}", *lines]))
