"""What an operator declares about files; every connector of files takes these settings."""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from stockwright.sdk.declaration import ConnectorSettings, Limits
from stockwright.sdk.files.archives import Caps, is_zip
from stockwright.sdk.files.inbox import Whole
from stockwright.sdk.files.local import LocalPlace
from stockwright.sdk.files.places import Place
from stockwright.sdk.files.shapes import Cell, Encoding, Form, Shape
from stockwright.sdk.files.totals import SIDECAR, Totals
from stockwright.sdk.inverting import inverse_of, target_of
from stockwright.sdk.local_time import check_form
from stockwright.sdk.mapping import located
from stockwright.sdk.outbound import Out, body_for, check_kinds
from stockwright.sdk.secrets import Secret

LIMITS = Limits(
    batch_size=10_000,
    calls_per_s=1.0,
    burst=2,
    concurrency=1,
    timeout_s=30.0,
    longest_apply_delay_s=0.0,
)
SFTP_APPLY_DELAY_S: Final = 60.0
"""How long a server may still carry out what it was asked over a connection that broke off."""
Column = Literal["listing", "location", "quantity", "version"]
_COLUMNS: dict[Column, str] = {
    "listing": "listing",
    "location": "location",
    "quantity": "quantity",
    "version": "version",
}
_UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload")
_NAME: Final = r"^[^/\\.][^/\\]*$"
_BESIDE: Final = r"^\{(name|stem)\}[^/\\{}]+$"
_COLUMN_PLACE: Final = re.compile(r"@\.[^.\[\]{}|?]+")
_HOST_KEY: Final = re.compile(r"(ssh-|ecdsa-sha2-|sk-)[\w@.-]+ [A-Za-z0-9+/=]{20,}( .*)?")


class FileSettings(ConnectorSettings, frozen=True, kw_only=True):
    """Where files lie, when they are whole, what they look like, what goes out."""

    outbox: Annotated[
        str, Meta(description="folder the levels are written to; empty: none are")
    ] = ""
    inbox: Annotated[str, Meta(description="folder its files are read from; empty: none are")] = ""
    sftp_host: Annotated[
        str, Meta(description="SFTP server that has the folders; empty: this machine has them")
    ] = ""
    sftp_port: Annotated[int, Meta(ge=1, le=65535, description="its port")] = 22
    sftp_user: Annotated[str, Meta(description="whom we sign in as")] = ""
    sftp_host_key: Annotated[
        str,
        Meta(
            description="public key the server must prove itself by, as in known_hosts without the "
            "host (ssh-ed25519 AAAA...); several, a line each, while it changes"
        ),
    ] = ""
    sftp_password: Annotated[Secret | None, Meta(description="password")] = None
    sftp_key: Annotated[Secret | None, Meta(description="private key instead (file:PATH)")] = None
    sftp_key_passphrase: Annotated[
        Secret | None, Meta(description="what the private key is encrypted with")
    ] = None
    timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds a page or a file may take over SFTP")
    ] = LIMITS.timeout_s
    levels_file: Annotated[str, Meta(pattern=_NAME, description="name of the file of levels")] = (
        "levels.csv"
    )
    columns: Annotated[
        dict[Column, str],
        Meta(description="our field -> the partner's column, in this order"),
    ] = field(default_factory=lambda: dict(_COLUMNS))
    widths: Annotated[
        dict[Column, Annotated[int, Meta(ge=1, le=1000)]],
        Meta(description="our field -> its width in the file of levels, where form is fixed"),
    ] = field(default_factory=dict)
    control: Annotated[
        Literal["sidecar", "trailer", "none"],
        Meta(description="where rows, sum and checksum stand: a second file, or a last line"),
    ] = "sidecar"
    min_rows: Annotated[
        int, Meta(ge=0, description="the file is not written before this many levels are known")
    ] = 1
    min_share: Annotated[
        float, Meta(ge=0, le=1, description="a file may not shrink below this share of the last")
    ] = 0.9
    documents: Annotated[
        tuple[Literal["shipment", "cancellation", "refund"], ...],
        Meta(description="documents it takes, a file each in the outbox"),
    ] = ()
    out: Annotated[
        tuple[Out, ...],
        Meta(description="forms of files that go out, one for each kind; none: our own columns"),
    ] = ()
    form: Annotated[
        Form, Meta(description="csv, tsv (tabs, nothing quoted) or fixed (columns by position)")
    ] = "csv"
    delimiter: Annotated[
        Literal[",", ";", "|", "\t"], Meta(description="between cells, in both directions")
    ] = ","
    quote: Annotated[
        Literal['"', "'", ""], Meta(description="around cells that need it; empty: never")
    ] = '"'
    encoding: Annotated[Encoding, Meta(description="of its files, in both directions")] = "utf-8"
    header: Annotated[
        bool | None,
        Meta(description="whether the first line names the columns; none: not where form is fixed"),
    ] = None
    decimal: Annotated[
        Literal[".", ","], Meta(description="what parts whole from fraction in its numbers")
    ] = "."
    time_format: Annotated[
        str, Meta(description="of times in its files, as strptime takes it; empty: ISO 8601")
    ] = ""
    complete: Annotated[
        Literal["stable", "marker", "rename"],
        Meta(
            description="a file is whole once its size is stable, once a marker lies there, or at "
            "once, since it is written under an unfinished name and renamed"
        ),
    ] = "stable"
    stable_s: Annotated[
        float, Meta(ge=0, le=3600, description="seconds without change until a file is whole")
    ] = 2.0
    marker: Annotated[
        str, Meta(pattern=_BESIDE, description="name of the marker: {name} or {stem}, and an end")
    ] = "{name}.done"
    unfinished: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description="how names of unfinished files end"),
    ] = _UNFINISHED
    max_file_bytes: Annotated[
        int, Meta(ge=1024, le=67_108_864, description="largest file that is read, and unpacked")
    ] = 8_388_608
    zip: Annotated[
        Literal["refused", "one", "several"],
        Meta(description="whether names that end in .zip are unpacked, and how many members"),
    ] = "several"
    zip_max_ratio: Annotated[
        int, Meta(ge=1, le=1_032, description="how many times its size a zip may unpack to")
    ] = 100
    zip_max_bytes: Annotated[
        int, Meta(ge=1024, le=67_108_864, description="what all members of a zip may unpack to")
    ] = 33_554_432
    channel: Annotated[
        str, Meta(max_length=128, description="the channel it sells on; empty: the system's code")
    ] = ""
    calls_per_s: Annotated[
        float, Meta(gt=0, le=100, description="files written per second, on average")
    ] = LIMITS.calls_per_s
    burst: Annotated[int, Meta(ge=1, le=1_000, description="files at once after a rest")] = (
        LIMITS.burst
    )

    @classmethod
    def folders(cls, given: Mapping[str, Any]) -> tuple[str, ...]:
        """The folders, but for those of an SFTP server."""
        return () if given.get("sftp_host") else ("inbox", "outbox")

    def __post_init__(self) -> None:
        for needed in ("listing", "quantity"):
            if needed not in self.columns:
                raise ValueError(f"columns must name one for the {needed}")
        self._check_server()
        self._check_out()
        try:
            check_form(self.time_format)
        except ValueError as error:
            raise located(str(error), "time_format") from None
        if self.form == "fixed" and self.outbox:
            for name in self.columns:
                if name not in self.widths:
                    raise ValueError(f"widths must say how wide {name} is, since form is fixed")

    def _check_out(self) -> None:
        check_kinds(self.out)
        for index, out in enumerate(self.out):
            where = f"out[{index}]"
            if out.each:
                raise located("each is for lists: a file has a row for each", where, "each")
            for part, name, place in _places(out):
                if not _COLUMN_PLACE.fullmatch(place):
                    raise located(f"{place!r} is not a column: write @.NAME", where, part, name)
            if out.kind != "level" and out.kind not in self.documents:
                raise located(f"documents does not name {out.kind}", where, "kind")
        if self.form == "fixed" and body_for(self.out, "level") is not None:
            raise ValueError("out has a form of levels; where form is fixed, columns and widths do")

    def _check_server(self) -> None:
        if not self.sftp_host:
            if self.sftp_user or self.sftp_host_key or self.sftp_password or self.sftp_key:
                raise ValueError("sftp_host must name the server that the other sftp_ are for")
            return
        if not self.sftp_user:
            raise ValueError("sftp_user must say whom to sign in as")
        lines = [line.strip() for line in self.sftp_host_key.splitlines() if line.strip()]
        if not lines or not all(_HOST_KEY.fullmatch(line) for line in lines):
            raise ValueError(
                "sftp_host_key must hold the server's public key (ssh-ed25519 AAAA...), which the "
                "partner tells: without it anybody could answer in the server's place"
            )
        # A secret that is only checked for its form is empty as yet, and not None.
        if self.sftp_password is None and self.sftp_key is None:
            raise ValueError("sftp_password or sftp_key must say how to sign in")


def _places(out: Out) -> list[tuple[str, str, str]]:
    """Where a form writes: the part and name it is declared under, and the place."""
    found = []
    for name, source in out.fields.items():
        target = inverse_of(source).target
        if target is not None:
            found.append(("fields", name, target.text))
    for part in ("body", "when"):
        found += [(part, place, target_of(place).text) for place in getattr(out, part)]
    return found


def shape_of(settings: FileSettings, cells: Sequence[Cell] = ()) -> Shape:
    """How the files of this partner are written; cells where they have no header."""
    header = settings.form != "fixed" if settings.header is None else settings.header
    return Shape(
        form=settings.form,
        delimiter=settings.delimiter,
        quote=settings.quote,
        encoding=settings.encoding,
        header=header,
        cells=tuple(cells),
        decimal=settings.decimal,
    )


def caps_of(settings: FileSettings) -> Caps:
    """What a zip may unpack to."""
    return Caps(settings.max_file_bytes, settings.zip_max_bytes, settings.zip_max_ratio)


def whole_of(settings: FileSettings, totals_for: Callable[[str], Totals | None]) -> Whole:
    """When a file is whole; where its totals stand in a second file, not before that is there."""

    def waits(name: str) -> bool:
        # A zip has the totals of its members in it.
        totals = None if is_zip(name) else totals_for(name)
        return totals is not None and totals.at == "sidecar"

    return Whole(
        rule=settings.complete,
        stable_s=settings.stable_s,
        marker=settings.marker,
        unfinished=settings.unfinished,
        sidecar="{name}" + SIDECAR,
        waits=waits,
    )


def limits_of(settings: FileSettings) -> Limits:
    """The limits of a connection with these settings."""
    return msgspec.structs.replace(
        LIMITS,
        calls_per_s=settings.calls_per_s,
        burst=settings.burst,
        timeout_s=settings.timeout_s,
        longest_apply_delay_s=SFTP_APPLY_DELAY_S if settings.sftp_host else 0.0,
    )


def place_of(settings: FileSettings, clock: Callable[[], dt.datetime]) -> Place:
    """Where the files lie. Raises Misconfigured where SFTP is asked for and not installed."""
    if not settings.sftp_host:
        return LocalPlace()
    from stockwright.sdk.files.sftp import Server, SftpPlace

    server = Server(
        host=settings.sftp_host,
        port=settings.sftp_port,
        user=settings.sftp_user,
        host_key=settings.sftp_host_key,
        password=settings.sftp_password,
        key=settings.sftp_key,
        passphrase=settings.sftp_key_passphrase,
        timeout_s=settings.timeout_s / 2,
    )
    return SftpPlace(server, clock)
