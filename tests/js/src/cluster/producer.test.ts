import { equal, ok, rejects, test } from "../harness.js";

test("p01_send_awaited", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  const id = await producer.send("hello");
  const message = await consumer.receive({ timeout: 10_000 });
  equal(message.text(), "hello");
  equal(message.id.toString(), id.toString());
  equal(message.topic, topic);
  ok(Math.abs(message.publishTime - Date.now()) < 600_000, `publish time ${message.publishTime}`);
});

test("p01_many_in_flight_receipts_in_order", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  const count = 1000;
  const ids = await Promise.all(Array.from({ length: count }, (_, number) => producer.send(`m-${number}`)));
  for (let number = 1; number < count; number++) {
    const [before, after] = [ids[number - 1], ids[number]];
    ok(before && after && before.compareTo(after) < 0, `id ${number}: ${before} is not before ${after}`);
  }
  for (let number = 0; number < count; number++) {
    equal((await consumer.receive({ timeout: 10_000 })).text(), `m-${number}`);
  }
});

test("p01_send_bytes_of_every_value", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 31) & 255);
  const sent = producer.send(bytes);
  bytes.fill(0); // The payload was copied when the call returned.
  await Promise.all([sent, producer.send(new Uint8Array(0))]);
  const message = await consumer.receive({ timeout: 10_000 });
  equal(message.size, 70_000);
  ok(
    message.data.every((byte, index) => byte === ((index * 31) & 255)),
    "every byte as sent",
  );
  equal((await consumer.receive({ timeout: 10_000 })).size, 0);
});

test("p02_producer_name_given_or_by_the_broker", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const named = await client.createProducer({ topic, name: `named-${topic.slice(-8)}` });
  equal(named.name, `named-${topic.slice(-8)}`);
  const unnamed = await client.createProducer({ topic });
  ok(unnamed.name.length > 0 && unnamed.name !== named.name, `a name by the broker: '${unnamed.name}'`);
  await named.send("x");
  equal((await consumer.receive({ timeout: 10_000 })).producerName, named.name);
  await rejects(client.createProducer({ topic, name: named.name }), "ProducerBusy");
});

test("p10_close_waits_for_pending_sends", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const producer = await client.createProducer({ topic });
  const sends = Array.from({ length: 50 }, (_, number) => producer.send(`m-${number}`));
  await producer.close();
  const results = await Promise.allSettled(sends);
  equal(results.filter((result) => result.status === "fulfilled").length, 50);
  await rejects(producer.send("late"), "AlreadyClosed");
});

test("p12_key_ordering_key_event_time", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  const orderingKey = Uint8Array.of(0, 255, 1);
  await producer.send("a", { key: "clé", orderingKey, eventTime: 1_600_000_000_123 });
  await producer.send("b", { keyBytes: Uint8Array.of(0, 255), eventTime: new Date(1_600_000_000_456) });
  await producer.send("c");
  const a = await consumer.receive({ timeout: 10_000 });
  equal([a.key, a.orderingKey, a.eventTime], ["clé", orderingKey, 1_600_000_000_123]);
  const b = await consumer.receive({ timeout: 10_000 });
  equal([b.key, b.keyBytes, b.eventTime], ["AP8=", Uint8Array.of(0, 255), 1_600_000_000_456]);
  const c = await consumer.receive({ timeout: 10_000 });
  equal([c.key, c.orderingKey, c.eventTime], [undefined, undefined, undefined]);
});

test("p15_properties_and_null_value", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  const properties = { kind: "order", "naïve key": "väl", empty: "" };
  await producer.send("with", { properties });
  await producer.send("", { key: "k", nullValue: true });
  const message = await consumer.receive({ timeout: 10_000 });
  const names = Object.keys(properties).sort() as (keyof typeof properties)[];
  equal(Object.keys(message.properties).sort(), names);
  for (const name of names) equal(message.properties[name], properties[name]);
  equal(message.isNull, false);
  const tombstone = await consumer.receive({ timeout: 10_000 });
  equal([tombstone.isNull, tombstone.key, tombstone.size], [true, "k", 0]);
});

test("p18_a_full_queue_fails_that_send_only", async (context) => {
  const client = context.client({ memoryLimit: 10_000 });
  const producer = await client.createProducer({ topic: context.topic() });
  const results = await Promise.allSettled(Array.from({ length: 15 }, () => producer.send(new Uint8Array(1000))));
  const sent = results.filter((result) => result.status === "fulfilled").length;
  ok(sent > 0 && sent <= 10, `${sent} sends of 1000 bytes were taken at a limit of 10 000`);
  const failed = results.find((result) => result.status === "rejected");
  equal([failed?.reason.code, failed?.reason.retryable], ["QueueFull", true]);
  await producer.send("there is room again");
});
