"""Every connector folder passes the contract suite."""

from stockwright.connectors import csv_drop, json_http
from stockwright.sdk import contract

TestJsonHttp = contract.suite(
    json_http.CONNECTOR, settings={"base_url": "http://127.0.0.1:9", "timeout_s": 0.3}
)
TestCsvDrop = contract.suite(csv_drop.CONNECTOR, settings={"stable_s": 0})
