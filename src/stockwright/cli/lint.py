"""`stockwright lint`: everything that is wrong with the configuration."""

from pathlib import Path

from msgspec import Struct
from rich.markup import escape

from stockwright.cli import output
from stockwright.config import FILE_NAME, Finding, find_config, lint
from stockwright.domain.errors import Misconfigured


class LintReport(Struct, kw_only=True):
    """What was found in which file."""

    file: str
    errors: int
    warnings: int
    findings: list[Finding]


def command(
    file: Path | None = None,
    /,
    *,
    config: output.ConfigFile = None,
    as_json: output.AsJson = False,
) -> int:
    """Check the configuration: each finding with its file, line, field and fix.

    Ends with 1 where there is an error; warnings alone do not keep Stockwright from starting.
    """
    path = find_config(file or config)
    if path is None:
        message = f"there is no {FILE_NAME} here; `stockwright init` writes one"
        raise Misconfigured("file", message)
    findings = lint(path)
    errors = sum(finding.level == "error" for finding in findings)
    report = LintReport(
        file=str(path), errors=errors, warnings=len(findings) - errors, findings=findings
    )
    output.emit(report, as_json, _render)
    return output.FINDINGS if errors else output.OK


def _render(report: LintReport) -> str:
    lines = [escape(str(finding)) for finding in report.findings]
    if report.findings:
        lines.append(f"{_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}.")
    else:
        lines.append(f"{escape(report.file)} is good.")
    return "\n".join(lines)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
