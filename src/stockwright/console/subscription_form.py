"""What the forms of subscriptions say: what one is to tell, and from where on."""

import msgspec

from stockwright.console.forms import Form
from stockwright.domain.errors import Rejected
from stockwright.domain.subscriptions import Filters, NewSubscription, Via
from stockwright.flow.subscribing import Start


def asked_for(form: Form) -> NewSubscription:
    """The subscription that a form asks for. Raises Rejected with the field that cannot be."""
    via: Via = "queue" if form.one("via") == "queue" else "webhook"
    batch = form.one("batch").strip() or "100"
    if not batch.isascii() or not batch.isdigit() or len(batch) > 6:
        raise Rejected("malformed", "batch", "How many changes one message holds is a number.")
    asked = {
        "changes": form.one("changes") or "all",
        "kinds": [kind for kind in form.all("kind") if kind],
        **{
            name: form.one(name).replace(",", " ").split()
            for name in ("skus", "locations", "channels", "systems")
        },
    }
    try:
        filters = msgspec.convert(asked, Filters)
    except msgspec.ValidationError as error:
        raise Rejected("malformed", "filters", f"{error}.") from None
    return NewSubscription(
        name=form.one("name").strip(),
        via=via,
        url=form.one("url").strip() if via == "webhook" else "",
        system=form.one("system").strip() if via == "queue" else "",
        subject=form.one("subject").strip() if via == "queue" else "",
        filters=filters,
        batch=int(batch),
    )


def start_of(form: Form) -> Start:
    """Where to begin, as a form says it; only the field of what is chosen counts."""
    begin = form.one("begin") or "now"
    if begin == "sequence":
        text = form.one("sequence").strip().replace(",", "")
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise Rejected("malformed", "sequence", "An event's number has digits only.")
        return Start(sequence=int(text))
    if begin == "cursor":
        cursor = form.one("cursor").strip()
        if not cursor or len(cursor) > 512:
            raise Rejected("malformed", "cursor", "Give a cursor of the feed of changes.")
        return Start(cursor=cursor)
    if begin not in ("start", "now"):
        raise Rejected("malformed", "begin", "begin is start, now, sequence or cursor.")
    return Start(begin="start" if begin == "start" else "now")
