"""Every document we send, and what differs between versions of the API."""

from typing import Final

from stockwright.connectors.shopify.declaration import Version

LINES: Final = 10
"""Lines of an order that come with a page of orders; more are asked for by themselves.

The shop reckons a document's cost by all it could bring, and takes none above 1,000 points.
"""
REFUNDS: Final = 3
REFUND_LINES: Final = 5

_MORE: Final = "pageInfo { hasNextPage endCursor }"
_LINE: Final = "id sku quantity isGiftCard variant { id }"
_REFUND_LINE: Final = "id quantity restockType lineItem { id }"
_MONEY: Final = "amountSet { presentmentMoney { amount currencyCode } }"

ITEMS_OF_SKUS: Final = f"""query ItemsOfSkus($query: String!, $after: String) {{
  inventoryItems(first: 100, query: $query, after: $after) {{
    nodes {{ id sku tracked }}
    {_MORE}
  }}
}}"""

ITEMS_OF_VARIANTS: Final = """query ItemsOfVariants($ids: [ID!]!) {
  nodes(ids: $ids) {
    __typename
    ... on ProductVariant { id inventoryItem { id tracked } }
  }
}"""

SHOWN: Final = """query Shown($ids: [ID!]!, $location: ID!) {
  nodes(ids: $ids) {
    __typename
    ... on InventoryItem {
      id
      inventoryLevel(locationId: $location) { quantities(names: ["available"]) { quantity } }
    }
  }
}"""

LEVELS: Final = f"""query Levels($location: ID!, $after: String) {{
  location(id: $location) {{
    inventoryLevels(first: 100, after: $after) {{
      nodes {{
        item {{ id sku tracked variant {{ id }} }}
        quantities(names: ["available"]) {{ quantity }}
      }}
      {_MORE}
    }}
  }}
}}"""

ORDERS: Final = f"""query Orders($first: Int!, $after: String, $query: String) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{
      id
      createdAt
      updatedAt
      cancelledAt
      test
      lineItems(first: {LINES}) {{ nodes {{ {_LINE} }} {_MORE} }}
      refunds(first: {REFUNDS}) {{
        id
        createdAt
        refundLineItems(first: {REFUND_LINES}) {{ nodes {{ {_REFUND_LINE} }} {_MORE} }}
      }}
    }}
    {_MORE}
  }}
}}"""

ORDER_LINES: Final = f"""query OrderLines($id: ID!, $after: String) {{
  order(id: $id) {{ lineItems(first: 100, after: $after) {{ nodes {{ {_LINE} }} {_MORE} }} }}
}}"""

ORDER_REFUNDS: Final = """query OrderRefunds($id: ID!) {
  order(id: $id) { refunds(first: 250) { id createdAt } }
}"""

REFUND: Final = f"""query RefundLines($id: ID!, $after: String) {{
  refund(id: $id) {{
    refundLineItems(first: 100, after: $after) {{ nodes {{ {_REFUND_LINE} }} {_MORE} }}
  }}
}}"""

TO_SHIP: Final = """query ToShip($id: ID!) {
  order(id: $id) {
    id
    fulfillments(first: 100) { id status trackingInfo(first: 2) { number } }
    fulfillmentOrders(first: 50) {
      nodes { id status assignedLocation { location { id } } }
    }
  }
}"""

FULFILLED: Final = f"""query Fulfilled($id: ID!, $after: String) {{
  fulfillment(id: $id) {{
    fulfillmentLineItems(first: 100, after: $after) {{
      nodes {{ quantity lineItem {{ id }} }}
      {_MORE}
    }}
  }}
}}"""

OPEN_LINES: Final = f"""query OpenLines($id: ID!, $after: String) {{
  fulfillmentOrder(id: $id) {{
    lineItems(first: 100, after: $after) {{
      nodes {{ id remainingQuantity lineItem {{ id }} }}
      {_MORE}
    }}
  }}
}}"""

SHIP: Final = """mutation Ship($fulfillment: FulfillmentInput!) {
  fulfillmentCreate(fulfillment: $fulfillment) {
    fulfillment { id }
    userErrors { field message }
  }
}"""

TO_CANCEL: Final = """query ToCancel($id: ID!) {
  order(id: $id) { id cancelledAt }
}"""

CANCEL: Final = """mutation Cancel(
  $order: ID!, $reason: OrderCancelReason!, $refund: OrderCancelRefundMethodInput!,
  $notify: Boolean!, $note: String!
) {
  orderCancel(
    orderId: $order, reason: $reason, refundMethod: $refund, restock: false,
    notifyCustomer: $notify, staffNote: $note
  ) {
    job { id }
    orderCancelUserErrors { code field message }
  }
}"""

TO_REFUND: Final = f"""query ToRefund($id: ID!, $lines: [RefundLineItemInput!]) {{
  order(id: $id) {{
    id
    refunds(first: 100) {{ id note }}
    suggestedRefund(refundLineItems: $lines) {{
      {_MONEY}
      suggestedTransactions {{
        gateway
        {_MONEY}
        maximumRefundableSet {{ presentmentMoney {{ amount }} }}
        parentTransaction {{ id }}
      }}
    }}
  }}
}}"""


WEBHOOKS: Final = f"""query Webhooks($uri: String!, $after: String) {{
  webhookSubscriptions(first: 50, uri: $uri, after: $after) {{
    nodes {{ id topic }}
    {_MORE}
  }}
}}"""

SUBSCRIBE: Final = """mutation Subscribe(
  $topic: WebhookSubscriptionTopic!, $subscription: WebhookSubscriptionInput!
) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $subscription) {
    webhookSubscription { id }
    userErrors { field message }
  }
}"""


def set_quantities(version: Version) -> str:
    """Sets levels. The variable `key` makes a call that is repeated by the network count once."""
    return _keyed(
        version,
        "SetQuantities($input: InventorySetQuantitiesInput!",
        "inventorySetQuantities(input: $input)",
        "inventoryAdjustmentGroup { id } userErrors { code field message }",
    )


def pay_back(version: Version) -> str:
    """Makes a refund, once for a key where the version has keys."""
    return _keyed(
        version,
        "PayBack($input: RefundInput!",
        "refundCreate(input: $input)",
        "refund { id } userErrors { field message }",
    )


def has_keys(version: Version) -> bool:
    """Whether the version has the directive `@idempotent`, and compares by `changeFromQuantity`."""
    return version != "2025-10"


def _keyed(version: Version, head: str, call: str, fields: str) -> str:
    if has_keys(version):
        head, call = f"{head}, $key: String!", f"{call} @idempotent(key: $key)"
    return f"mutation {head}) {{\n  {call} {{ {fields} }}\n}}"
