"""JSON messages into facts, as every connector of JSON does it."""

from stockwright.sdk.json_messages import DEFAULT_RULES, SOLD_ON_A_CHANNEL, key_of, map_message

__all__ = ["DEFAULT_RULES", "SOLD_ON_A_CHANNEL", "key_of", "map_message"]
