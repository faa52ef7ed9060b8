"use strict"
// Tells Stockwright of orders as they change. Put this file into src/subscribers/ of your Medusa
// project and set STOCKWRIGHT_HOOK_URL (https://YOUR-HUB/v1/hooks/SYSTEM) and
// STOCKWRIGHT_HOOK_SECRET, one of the connection's webhook_secrets. An event that cannot be told is
// given up after three tries: Stockwright also polls.
const { createHmac } = require("node:crypto")

const ORDER = [
  "id", "status", "version", "is_draft_order", "sales_channel_id", "currency_code", "created_at",
  "updated_at", "canceled_at", "items.*", "items.variant.manage_inventory",
  "items.variant.inventory_items.inventory_item_id",
  "items.variant.inventory_items.required_quantity",
]
const CHANGE = [
  "id", "status", "change_type", "return_id", "confirmed_at", "actions.id", "actions.action",
  "actions.details",
]

module.exports.default = async ({ event, container }) => {
  const url = process.env.STOCKWRIGHT_HOOK_URL
  const secret = process.env.STOCKWRIGHT_HOOK_SECRET
  const id = event.data.order_id || event.data.id
  if (!url || !secret || !id) return

  const query = container.resolve("query")
  const list = async (entity, fields, filters) =>
    (await query.graph({ entity, fields, filters })).data
  const [order] = await list("order", ORDER, { id })
  if (!order) return
  const told = { order }
  if (order.version > 1) {
    told.changes = await list("order_change", CHANGE, { order_id: id })
    told.returns = await list("return", ["id", "location_id"], { order_id: id })
  }
  await send(url, secret, event.name, JSON.stringify(told))
}

async function send(url, secret, name, body) {
  const headers = {
    "content-type": "application/json",
    "x-medusa-event": name,
    "x-stockwright-signature":
      "sha256=" + createHmac("sha256", secret).update(body).digest("hex"),
  }
  for (const waitMs of [0, 1000, 5000]) {
    await new Promise((done) => setTimeout(done, waitMs))
    try {
      const signal = AbortSignal.timeout(10000)
      const answer = await fetch(url, { method: "POST", headers, body, signal })
      if (answer.status < 500 && answer.status !== 429) return
    } catch (error) {
      console.error(`stockwright: ${name} could not be told: ${error.message}`)
    }
  }
}

module.exports.config = {
  event: ["order.placed", "order.updated", "order.canceled", "order-edit.confirmed",
    "order.return_received"],
}
