import assert from "node:assert/strict";
import { test } from "node:test";
import { TestBroker } from "pulsewire/testing";
import { runKitchen } from "./orders.js";

/** A kitchen with one order, on a broker of its own. */
async function kitchen(cook = async () => {}) {
  const broker = await TestBroker.start();
  const client = broker.client({ initialBackoff: 10 });
  const closing = new AbortController();
  const running = runKitchen(client, cook, closing.signal);
  const dishes = await client.subscribe({ topic: "dishes", subscription: "guests" });
  const orders = await client.createProducer({ topic: "orders" });
  const close = async () => {
    closing.abort();
    await running;
    await broker.stop();
  };
  return { broker, dishes, orders, close };
}

test("what is ordered is cooked once", async () => {
  const { broker, dishes, orders, close } = await kitchen();
  await orders.send("soup");
  assert.equal((await dishes.receive({ timeout: 5000 })).text(), "soup");
  await close();
  assert.throws(() => broker.topics(), { code: "AlreadyClosed" });
});

test("what burns is cooked again", async () => {
  let burned = false;
  const { broker, dishes, orders, close } = await kitchen(async () => {
    if (burned) return;
    burned = true;
    throw new Error("black");
  });
  await orders.send("steak");
  assert.equal((await dishes.receive({ timeout: 5000 })).text(), "steak");
  assert.deepEqual(
    broker.messages("dishes").map((message) => message.text()),
    ["steak"],
  );
  await close();
});

test("a dish whose announcement is refused is announced later", async () => {
  const { broker, dishes, orders, close } = await kitchen();
  broker.failNextSend({ topic: "dishes", error: "NotAllowed" });
  await orders.send("fish");
  assert.equal((await dishes.receive({ timeout: 5000 })).text(), "fish");
  await close();
});

test("the kitchen survives a broken network", async () => {
  const { broker, dishes, orders, close } = await kitchen();
  await orders.send("tea");
  await dishes.receive({ timeout: 5000 });
  assert.ok(broker.disconnect() > 0);
  await orders.send("cake");
  const served = new Set();
  while (!served.has("cake")) served.add((await dishes.receive({ timeout: 5000 })).text());
  await close();
});
