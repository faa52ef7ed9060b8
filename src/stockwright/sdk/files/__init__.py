"""Files exchanged with a partner.

settings    what an operator declares, the same for every connector of files
places      where files lie, behind one seam: a folder here (local) or a server's (sftp)
shapes      what they look like: rows into cells and back
tables      rows by the columns of a header
totals      what a file says about itself: rows, sum, checksum
archives    zip files, within caps
inbox       when a file is whole, whose it is, where it goes
rows        rows by a form of what goes out
levels      levels out: one file, always complete
documents   documents out: a file each, once
outbound    what a message would become, without writing it
connection  the verbs of a connection over all of these
partner     the other side of the folders, for sandboxes

Connectors build on those of `__all__`; the others serve them, and promise nothing.
"""

__all__ = ["connection", "partner", "settings", "shapes", "tables", "totals"]
