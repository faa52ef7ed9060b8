"""The console: pages for people, rendered here and kept live by server-sent events.

`routes(services)` is all of it. The console guards itself (its own sign-in page and session, in
`access`), so its routes are mounted beside the API's without the API's gate.
"""

from stockwright.console.charts import shown_against_true
from stockwright.console.reading import ConsoleServices
from stockwright.console.routes import routes

__all__ = ["ConsoleServices", "routes", "shown_against_true"]
