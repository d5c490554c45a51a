import assert from "node:assert/strict";
import { test } from "node:test";
import { TestBroker } from "pulsewire/testing";

test("what is sent is received, whatever breaks", async () => {
  const broker = await TestBroker.start();
  const client = broker.client(); // or: new Client({ serviceUrl: broker.serviceUrl })
  const consumer = await client.subscribe({ topic: "orders", subscription: "kitchen" });
  const producer = await client.createProducer({ topic: "orders" });

  broker.failNextSend({ error: "NotAllowed", message: "closed today" });
  await assert.rejects(producer.send("one coffee"), { code: "NotAllowed" });

  broker.disconnect();
  const id = await producer.send("one coffee"); // over a new connection
  assert.equal(String(broker.messages("orders")[0]?.id), String(id));
  assert.equal((await consumer.receive({ timeout: 5000 })).text(), "one coffee");

  broker.setMessageTtl("orders", 60_000);
  broker.advance(61_000); // a minute later, at once
  assert.equal(broker.subscriptions("orders")[0]?.backlog, 0);
  await broker.stop();
});
