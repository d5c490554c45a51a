import { Client, type Consumer, PulsarError } from "pulsewire";
import { type SendError, TestBroker } from "pulsewire/testing";
import { equal, ok, rejects, sleep, unit } from "../harness.js";

const soon = { timeout: 10_000 };
const quick = { initialBackoff: 10, maxBackoff: 50 };

/** The code of what a call throws. */
function thrown(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    ok(error instanceof PulsarError, `a PulsarError, not ${error}`);
    return error.code;
  }
  return "nothing";
}

async function texts(consumer: Consumer, count: number): Promise<string[]> {
  const found: string[] = [];
  for (let n = 0; n < count; n++) found.push((await consumer.receive(soon)).text());
  return found;
}

unit("testing_a_client_of_any_kind_reaches_the_broker", async () => {
  await using broker = await TestBroker.start();
  await using client = new Client({ serviceUrl: broker.serviceUrl });
  const consumer = await client.subscribe({ topic: "orders", subscription: "kitchen" });
  const producer = await broker.client().createProducer({ topic: "orders" });
  const id = await producer.send(`{"tea":2}`, { key: "k", properties: { a: "b" }, eventTime: 5 });
  const [stored] = broker.messages("orders");
  ok(stored, "a message is stored");
  equal(`${stored.id}`, `${id}`);
  equal(stored.json(), { tea: 2 });
  equal([stored.key, stored.properties, stored.eventTime?.getTime(), stored.isNull], ["k", { a: "b" }, 5, false]);
  equal([stored.producerName, stored.sequenceId], [producer.name, 0n]);
  const message = await consumer.receive(soon);
  equal(`${message.id}`, `${id}`);
  const subscription = { name: "kitchen", type: "exclusive", backlog: 1, durable: true };
  const { name, type, backlog, durable } = broker.subscriptions("orders")[0] ?? {};
  equal({ name, type, backlog, durable }, subscription);
  await consumer.acknowledge(message);
  while (broker.subscriptions("orders")[0]?.backlog !== 0) await sleep(5);
  equal(broker.topics(), ["persistent://public/default/orders"]);
  // Nobody is left; the type is the last one's.
  await consumer.close();
  const { type: last, consumers } = broker.subscriptions("orders")[0] ?? {};
  equal({ last, consumers }, { last: "exclusive", consumers: [] });
});

unit("testing_the_clock_is_put_forward", async () => {
  await using broker = await TestBroker.start();
  const client = broker.client();
  const options = { topic: "t", subscription: "s", type: "failover" } as const;
  const consumers = [await client.subscribe(options), await client.subscribe(options)] as const;
  const producer = await client.createProducer({ topic: "t" });
  await producer.send("1");
  const waits = consumers.map(async (consumer, index) => ({ index, message: await consumer.receive(soon) }));
  const active = await Promise.race(waits);
  equal(active.message.text(), "1");
  broker.setMessageTtl("t", 60_000);
  const before = broker.now().getTime();
  broker.advance(59_000);
  ok(broker.now().getTime() - before >= 59_000, "the clock");
  equal(broker.subscriptions("t")[0]?.backlog, 1);
  broker.advance(2000);
  equal(broker.subscriptions("t")[0]?.backlog, 0);
  // A failover consumer waits a second before it takes over; here none passes.
  await producer.send("2");
  await consumers[active.index as 0 | 1].close();
  broker.advance(1000);
  equal((await waits[1 - active.index])?.message.text(), "2");
  // However far: nobody is taken for dead.
  broker.advance(90 * 365 * 24 * 3600 * 1000);
  await producer.send("3");
  equal(await texts(consumers[(1 - active.index) as 0 | 1], 1), ["3"]);
  // A hundred years are all there is; what is beyond them is refused, and moves nothing.
  const rest = 10 * 365 * 24 * 3600 * 1000;
  const late = broker.now().getTime();
  equal(
    thrown(() => broker.advance(rest)),
    "InvalidArgument",
  );
  ok(broker.now().getTime() - late < 60_000, "the clock stays");
  broker.advance(rest - 62_000);
  equal(
    thrown(() => broker.advance(1000)),
    "InvalidArgument",
  );
  for (const bad of [-1, Number.NaN, Number.POSITIVE_INFINITY, "1", undefined]) {
    equal(
      thrown(() => broker.advance(bad as number)),
      "InvalidArgument",
    );
  }
});

unit("testing_fractions_of_a_millisecond_count", async () => {
  await using broker = await TestBroker.start();
  const ahead = () => broker.now().getTime() - Date.now();
  const before = ahead();
  for (let n = 0; n < 2000; n++) broker.advance(1.5);
  const moved = ahead() - before;
  ok(moved >= 2990 && moved <= 3010, `3000 ms in all, not ${moved}`);
});

unit("testing_options_that_nobody_knows_are_refused", async () => {
  await using broker = await TestBroker.start();
  const client = broker.client();
  const consumer = await client.subscribe({ topic: "t", subscription: "s" });
  const producer = await client.createProducer({ topic: "t" });
  const unknown = { deliverAfter: 3_600_000, nonsense: 1, key: "k" } as object;
  const error = await rejects(producer.send("x", unknown), "InvalidOption");
  ok(error.message.includes("option deliverAfter, nonsense;"), error.message);
  ok(error.message.includes("key, keyBytes, orderingKey, properties"), error.message);
  await rejects(producer.send("x", 5 as unknown as object), "InvalidArgument");
  await rejects(consumer.receive({ timeOut: 5 } as object), "InvalidOption");
  await rejects(consumer.receive(1000 as unknown as object), "InvalidArgument");
  await rejects(client.partitions("t", { timeout: 5 } as object), "InvalidOption");
  await rejects(client.topics("public/default", { timeout: 5 } as object), "InvalidOption");
  await rejects(client.close({ force: true } as object), "InvalidOption");
  await rejects(consumer.unsubscribe({ force: true } as object), "InvalidOption");
  await rejects(consumer.close({ force: true } as object), "InvalidOption");
  await rejects(producer.close({ force: true } as object), "InvalidOption");
  equal(
    thrown(() => consumer.messages({ timeout: 5 } as object)),
    "InvalidOption",
  );
  equal(
    thrown(() => broker.client(5 as unknown as object)),
    "InvalidArgument",
  );
  equal(
    // @ts-expect-error: it is the broker's own, and the types say so.
    thrown(() => broker.client({ serviceUrl: "ws://x" })),
    "InvalidOption",
  );
  equal(broker.messages("t"), []);
  // What is known, or not set, goes on.
  const all = { key: "k", orderingKey: new Uint8Array(1), properties: {}, eventTime: 1, sequenceId: 7n };
  const signal = new AbortController().signal;
  await producer.send("x", { ...all, nullValue: false, signal, deliverAt: undefined } as object);
  await producer.send("y", { keyBytes: new Uint8Array(1) });
  equal((await consumer.receive({ ...soon, signal })).text(), "x");
});

unit("testing_a_broker_is_made_by_start_alone", async () => {
  const made = TestBroker as unknown as new (...given: unknown[]) => TestBroker;
  for (const given of [[], [{}, {}], [Symbol("TestBroker.start"), {}, {}]]) {
    let error: unknown;
    try {
      new made(...given);
    } catch (cause) {
      error = cause;
    }
    ok(error instanceof TypeError && error.message.includes("TestBroker.start()"), String(error));
  }
});

unit("testing_sends_fail_as_ordered", async () => {
  await using broker = await TestBroker.start();
  const client = broker.client(quick);
  const producer = await client.createProducer({ topic: "t", sendTimeout: 2000 });
  broker.failNextSend({ topic: "another" });
  broker.failNextSend({ message: "no tea", topic: "t", times: 2 });
  const error = await rejects(producer.send("1"), "NotAllowed");
  ok(error.message.includes("no tea"), error.message);
  await rejects(producer.send("2"), "NotAllowed");
  await producer.send("3");
  for (const error of ["PersistenceError", "ServiceNotReady", "TooManyRequests", "ChecksumError"] as const) {
    broker.failNextSend({ error });
    await producer.send(error).catch((failed: PulsarError) => equal([error, failed.code], ["ChecksumError", error]));
  }
  broker.failNextSend({ error: "Timeout" });
  await rejects(producer.send("4"), "Timeout");
  await producer.send("5");
  broker.failNextSend({ error: "TopicTerminated" });
  await rejects(producer.send("6"), "TopicTerminated");
  const stored = broker.messages("t").map((message) => message.text());
  equal(
    stored.filter((text) => text !== "ChecksumError"),
    ["3", "PersistenceError", "ServiceNotReady", "TooManyRequests", "5"],
  );
});

unit("testing_connections_break_as_ordered", async () => {
  await using broker = await TestBroker.start();
  const client = broker.client(quick);
  const consumer = await client.subscribe({ topic: "t", subscription: "s" });
  const producer = await client.createProducer({ topic: "t", name: "p" });
  const other = await broker.client(quick).createProducer({ topic: "other" });
  const states: string[] = [];
  client.addEventListener("state", (event) => states.push(event.state));
  const both = broker.connections().filter((connection) => connection.producers.some(({ name }) => name === "p"));
  equal(
    both.map(({ producers, consumers }) => [producers.length, consumers[0]?.subscription]),
    [[1, "s"]],
  );
  equal(
    broker.disconnect(({ producers }) => producers.some(({ name }) => name === "p")),
    1,
  );
  await producer.send("1");
  await consumer.acknowledge(await consumer.receive(soon));
  while (broker.subscriptions("t")[0]?.backlog !== 0) await sleep(5);
  ok(states.includes("disconnected") && states.includes("connected"), `it was told: ${states}`);
  equal(broker.disconnect(12345), 0);
  // An outage.
  broker.setReachable(false);
  ok(broker.disconnect() >= 2, "all were cut");
  const sent = producer.send("2");
  await sleep(100);
  equal(broker.connections(), []);
  broker.setReachable(true);
  await sent;
  await other.send("x");
  equal(await texts(consumer, 1), ["2"]);
  equal(
    thrown(() => broker.disconnect("all" as unknown as number)),
    "InvalidArgument",
  );
});

unit("testing_partitioned_topics", async () => {
  await using broker = await TestBroker.start({ defaultPartitions: 2 });
  broker.createTopic("parts", { partitions: 3 });
  equal(await broker.client().partitions("parts"), 3);
  await rejects(broker.client().createProducer({ topic: "made-on-demand" }), "NotSupported");
  equal(broker.partitions("made-on-demand"), 2);
  equal([broker.partitions("parts"), broker.messages("parts")], [3, []]);
  const producer = await broker.client().createProducer({ topic: "parts-partition-1" });
  await producer.send("x");
  equal(
    broker.messages("parts").map((message) => [message.topic, message.id.partition]),
    [["persistent://public/default/parts-partition-1", 1]],
  );
  broker.deleteTopic("made-on-demand");
  equal(broker.topics(), ["persistent://public/default/parts"]);
});

unit("testing_bad_input_is_refused_with_a_code", async () => {
  const error = await rejects(
    TestBroker.start({ defaultPartitions: -1, maxStoredBytes: 1.5, autoCreateTopics: "yes" as unknown as boolean }),
    "InvalidOption",
  );
  for (const name of ["defaultPartitions", "maxStoredBytes", "autoCreateTopics"]) {
    ok(error.message.includes(name), error.message);
  }
  await rejects(TestBroker.start({ port: 6650 } as object), "InvalidOption");
  const all = await rejects(
    TestBroker.start({ port: 1, defaultPartitions: -1, maxMessageSize: 1 } as object),
    "InvalidOption",
  );
  for (const name of ["option port;", "defaultPartitions is", "maxMessageSize is"]) {
    ok(all.message.includes(name), all.message);
  }
  await rejects(TestBroker.start(7 as unknown as object), "InvalidArgument");
  await using broker = await TestBroker.start({ autoCreateTopics: false });
  broker.createTopic("t");
  const codes: [string, () => unknown][] = [
    ["TopicNotFound", () => broker.messages("nobody")],
    ["TopicNotFound", () => broker.subscriptions("nobody")],
    ["TopicNotFound", () => broker.partitions("nobody")],
    ["TopicNotFound", () => broker.deleteTopic("nobody")],
    ["TopicNotFound", () => broker.setMessageTtl("nobody", 1)],
    ["InvalidArgument", () => broker.setMessageTtl("t", -1)],
    ["InvalidTopicName", () => broker.messages("a/b")],
    ["InvalidArgument", () => broker.messages(undefined as unknown as string)],
    ["NotAllowed", () => broker.createTopic("t")],
    ["InvalidOption", () => broker.createTopic("u", { partitions: 1001 })],
    ["InvalidOption", () => broker.createTopic("u", { shards: 1 } as object)],
    ["TopicNotFound", () => broker.createTopic("persistent://a/b/c")],
    ["TopicNotFound", () => broker.createTopic("persistent://a/b/c", { partitions: 2 })],
    ["NotAllowed", () => broker.createTopic("u-partition-0")],
    ["NotAllowed", () => broker.createTopic("u-partition-0", { partitions: 2 })],
    ["InvalidOption", () => broker.failNextSend({ error: "toString" as SendError })],
    ["InvalidOption", () => broker.failNextSend({ times: 0 })],
    ["InvalidOption", () => broker.failNextSend({ when: "later" } as object)],
    ["InvalidTopicName", () => broker.failNextSend({ topic: "a/b" })],
    ["InvalidArgument", () => broker.setReachable(1 as unknown as boolean)],
  ];
  for (const [code, call] of codes) equal(thrown(call), code, String(call));
  await rejects(broker.client().createProducer({ topic: "unmade" }), "TopicNotFound");
  for (let n = 0; n < 1000; n++) broker.failNextSend();
  equal(
    thrown(() => broker.failNextSend()),
    "NotAllowed",
  );
});

unit("testing_memory_has_a_bound_that_refuses", async () => {
  await using broker = await TestBroker.start({ maxStoredBytes: 64 * 1024, maxMessageSize: 10_000 });
  const client = broker.client();
  await client.subscribe({ topic: "t", subscription: "holds-them" });
  const producer = await client.createProducer({ topic: "t", sendTimeout: 20_000 });
  await rejects(producer.send(new Uint8Array(10_001)), "MessageTooLarge");
  let sent = 0;
  const full = await (async () => {
    while (sent < 100) {
      await producer.send(new Uint8Array(8000));
      sent += 1;
    }
  })().catch((error: PulsarError) => error.code);
  equal([full, sent], ["ProducerBlockedQuotaExceeded", 8]);
});

unit("testing_after_the_end_everything_says_so", async () => {
  const broker = await TestBroker.start();
  const own = broker.client();
  await own.createProducer({ topic: "t" });
  const outside = new Client({ serviceUrl: broker.serviceUrl, operationTimeout: 500, ...quick });
  const producer = await outside.createProducer({ topic: "t", sendTimeout: 300 });
  await Promise.all([broker.stop(), broker.stop()]);
  equal(own.state, "closed");
  equal(
    thrown(() => broker.topics()),
    "AlreadyClosed",
  );
  equal(
    thrown(() => broker.client()),
    "AlreadyClosed",
  );
  await rejects(producer.send("x"), "Timeout");
  await rejects(outside.createProducer({ topic: "u" }), "Timeout");
  await outside.close();
});

unit("testing_brokers_come_and_go", async () => {
  const standing: TestBroker[] = [];
  for (let n = 0; n < 300; n++) {
    const broker = await TestBroker.start();
    const producer = await broker.client().createProducer({ topic: `t${n}` });
    await producer.send(new Uint8Array(100_000));
    equal(broker.topics(), [`persistent://public/default/t${n}`]);
    if (n % 50 === 0) standing.push(broker);
    else await broker.stop();
  }
  const urls = new Set(standing.map((broker) => broker.serviceUrl));
  equal([standing.length, urls.size], [6, 6]);
  for (const broker of standing) {
    equal(broker.messages(broker.topics()[0] ?? "")[0]?.payload.length, 100_000);
    await broker.stop();
  }
});
