// An application: a kitchen that cooks what was ordered, and tells when it is done.

/**
 * Cooks until `signal` is aborted.
 *
 * @param {import("pulsewire").Client} client
 * @param {(dish: string) => Promise<void>} cook
 * @param {AbortSignal} signal
 */
export async function runKitchen(client, cook, signal) {
  const orders = await client.subscribe({
    topic: "orders",
    subscription: "kitchen",
    type: "shared",
    negativeAckRedeliveryDelay: 20,
  });
  const done = await client.createProducer({ topic: "dishes" });
  while (!signal.aborted) {
    const order = await orders.receive({ signal }).catch(() => undefined);
    if (!order) break;
    try {
      await cook(order.text());
      await done.send(order.text());
      await orders.acknowledge(order);
    } catch {
      // It burned, or could not be told: once more.
      await orders.negativeAcknowledge(order);
    }
  }
}
