import { equal, ok, refused, rejects, test } from "../harness.js";

test("k11_close_settles_what_waits", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  const waiting = consumer.receive();
  const [received] = await Promise.allSettled([waiting, client.close()]);
  equal(received.status, "rejected");
  await rejects(producer.send("late"), "AlreadyClosed");
  await rejects(client.subscribe({ topic, subscription: "s" }), "AlreadyClosed");
  // Nothing is left on the broker: the subscription and the name are free.
  await context.client().subscribe({ topic, subscription: "s" });
});

test("k11_state_events", async (context) => {
  const client = context.client();
  const seen: string[] = [];
  client.addEventListener("state", (event) => seen.push(event.state));
  await client.createProducer({ topic: context.topic() });
  equal(client.state, "connected");
  await client.close();
  await new Promise((resolve) => setTimeout(resolve, 0));
  ok(seen.includes("connecting") && seen.includes("connected") && seen.at(-1) === "closed", seen.join(" "));
});

test("k12_topics_and_partitions", async (context) => {
  const client = context.client();
  const topic = context.topic();
  await client.createProducer({ topic });
  ok((await client.topics("public/default")).includes(topic), "the topic is listed");
  equal(await client.partitions(topic), 0);
  // Made with the world of the scenarios.
  equal(await client.partitions("three-partitions"), 3);
});

test("k01_unreachable_gateway_says_what_to_check", async (context) => {
  const client = context.client({ serviceUrl: "ws://127.0.0.1:9", operationTimeout: 1500 });
  const error = await rejects(client.createProducer({ topic: context.topic() }), "ConnectionFailed", "Timeout");
  ok(error.retryable, "it can succeed later");
  ok(error.message.includes("127.0.0.1:9"), `names the address: ${error.message}`);
});

refused("n02_gateway_that_refuses_the_origin", async (context) => {
  const client = context.client({ operationTimeout: 1500 });
  const reasons: string[] = [];
  client.addEventListener("state", (event) => reasons.push(event.error?.message ?? ""));
  const error = await rejects(
    client.createProducer({ topic: context.topic() }),
    "ConnectError",
    "ConnectionRefused",
    "Timeout",
  );
  const said = [error.message, ...reasons].join("; ");
  // A browser hides why a socket did not open: then the origin is named among what to check.
  ok(/origin|403/.test(said), said);
});

test("k02_bad_topic_name_is_refused_at_once", async (context) => {
  const client = context.client();
  for (const topic of ["persistent://only-tenant", "ftp://a/b/c", "persistent://a/b/"]) {
    await rejects(client.createProducer({ topic }), "InvalidTopicName");
    await rejects(client.subscribe({ topic, subscription: "s" }), "InvalidTopicName");
  }
});

test("p01_a_payload_over_the_limit_fails_and_the_connection_lives", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  const results = await Promise.allSettled([
    producer.send("before"),
    producer.send(new Uint8Array(6 * 1024 * 1024)),
    producer.send("after"),
  ]);
  equal(
    results.map((result) => (result.status === "rejected" ? result.reason.code : "sent")),
    ["sent", "MessageTooLarge", "sent"],
  );
  equal((await consumer.receive({ timeout: 10_000 })).text(), "before");
  equal((await consumer.receive({ timeout: 10_000 })).text(), "after");
});

test("p01_a_large_message_passes", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  const data = new Uint8Array(4 * 1024 * 1024).fill(7);
  await producer.send(data);
  const message = await consumer.receive({ timeout: 20_000 });
  equal(message.size, data.length);
  ok(
    message.data.every((byte) => byte === 7),
    "every byte as sent",
  );
});
