import type { Consumer, Message } from "pulsewire";
import { equal, ok, rejects, test } from "../harness.js";

const soon = { timeout: 10_000 };

async function texts(consumer: Consumer, count: number): Promise<string[]> {
  const got: string[] = [];
  for (let number = 0; number < count; number++) {
    const message = await consumer.receive(soon);
    await consumer.acknowledge(message);
    got.push(message.text());
  }
  return got;
}

test("c01_exclusive_refuses_a_second_consumer", async (context) => {
  const client = context.client();
  const topic = context.topic();
  await client.subscribe({ topic, subscription: "s" });
  await rejects(context.client({ operationTimeout: 4000 }).subscribe({ topic, subscription: "s" }), "ConsumerBusy");
});

test("c01_shared_divides_the_messages", async (context) => {
  const topic = context.topic();
  const options = { topic, subscription: "s", type: "shared", receiverQueueSize: 5 } as const;
  const one = await context.client().subscribe(options);
  const two = await context.client().subscribe(options);
  const producer = await context.client().createProducer({ topic });
  const sent = Array.from({ length: 40 }, (_, number) => `m-${number}`);
  await Promise.all(sent.map((text) => producer.send(text)));
  const counts = [0, 0];
  const got = new Set<string>();
  const drain = async (consumer: Consumer, index: number): Promise<void> => {
    while (got.size < sent.length) {
      const message = await consumer.receive({ timeout: 2000 }).catch(() => undefined);
      if (!message) return;
      await consumer.acknowledge(message);
      got.add(message.text());
      counts[index] = (counts[index] ?? 0) + 1;
    }
  };
  await Promise.all([drain(one, 0), drain(two, 1)]);
  equal([...got].sort(), [...sent].sort());
  ok((counts[0] ?? 0) > 0 && (counts[1] ?? 0) > 0, `both took part: ${counts}`);
});

test("c02_receive_with_timeout_and_cancellation", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  await rejects(consumer.receive({ timeout: 50 }), "Timeout");
  const stop = new AbortController();
  const waiting = consumer.receive({ signal: stop.signal });
  stop.abort();
  await rejects(waiting, "AbortError");
  const producer = await client.createProducer({ topic });
  await producer.send("kept");
  equal((await consumer.receive(soon)).text(), "kept");
});

test("c04_for_await", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s" });
  const producer = await client.createProducer({ topic });
  await Promise.all(Array.from({ length: 20 }, (_, number) => producer.send(`${number}`)));
  const got: string[] = [];
  for await (const message of consumer) {
    await consumer.acknowledge(message);
    got.push(message.text());
    if (got.length === 20) break;
  }
  equal(
    got,
    Array.from({ length: 20 }, (_, number) => `${number}`),
  );
  equal(consumer.closed, false, "leaving the loop does not close");
});

test("c05_ack_individual_is_kept_over_a_resubscribe", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const options = { topic, subscription: "s" };
  const first = await client.subscribe(options);
  const producer = await client.createProducer({ topic });
  for (const text of ["a", "b", "c", "d"]) await producer.send(text);
  const got: Message[] = [];
  for (let number = 0; number < 4; number++) got.push(await first.receive(soon));
  await first.acknowledge(got[0] as Message);
  await first.acknowledge((got[2] as Message).id);
  await first.close();
  const second = await client.subscribe(options);
  equal(await texts(second, 2), ["b", "d"]);
  await rejects(second.receive({ timeout: 500 }), "Timeout");
});

test("c05_ack_cumulative_is_kept_over_a_resubscribe", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const options = { topic, subscription: "s" };
  const first = await client.subscribe(options);
  const producer = await client.createProducer({ topic });
  for (const text of ["a", "b", "c", "d"]) await producer.send(text);
  await first.receive(soon);
  await first.receive(soon);
  await first.acknowledgeCumulative(await first.receive(soon));
  await first.close();
  const second = await client.subscribe(options);
  equal(await texts(second, 1), ["d"]);
  await rejects(second.receive({ timeout: 500 }), "Timeout");
});

test("c09_negative_ack_brings_the_message_again_after_its_delay", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({
    topic,
    subscription: "s",
    type: "shared",
    negativeAckRedeliveryDelay: 700,
  });
  const producer = await client.createProducer({ topic });
  await producer.send("again");
  const message = await consumer.receive(soon);
  equal(message.redeliveryCount, 0);
  const started = performance.now();
  consumer.negativeAcknowledge(message);
  const again = await consumer.receive(soon);
  const waited = performance.now() - started;
  equal(again.id.toString(), message.id.toString());
  equal(again.redeliveryCount, 1);
  ok(waited > 500, `came again after ${waited} ms, before its delay`);
  await consumer.acknowledge(again);
});

test("c21_initial_position", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const producer = await client.createProducer({ topic });
  await producer.send("before");
  const earliest = await client.subscribe({ topic, subscription: "e", initialPosition: "earliest" });
  const latest = await client.subscribe({ topic, subscription: "l" });
  await producer.send("after");
  equal(await texts(earliest, 2), ["before", "after"]);
  equal(await texts(latest, 1), ["after"]);
});

test("c23_more_messages_than_the_receiver_queue", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const consumer = await client.subscribe({ topic, subscription: "s", receiverQueueSize: 10 });
  const producer = await client.createProducer({ topic });
  const sent = Array.from({ length: 200 }, (_, number) => `m-${number}`);
  await Promise.all(sent.map((text) => producer.send(text)));
  equal(await texts(consumer, 200), sent);
});

test("n08_async_dispose_frees_the_subscription", async (context) => {
  const client = context.client();
  const topic = context.topic();
  for (let round = 0; round < 2; round++) {
    await using consumer = await client.subscribe({ topic, subscription: "s" });
    await using producer = await client.createProducer({ topic, name: "only" });
    await producer.send(`${round}`);
    equal(await texts(consumer, 1), [`${round}`]);
  }
});

test("n08_abort_signal_on_every_wait", async (context) => {
  const client = context.client();
  const topic = context.topic();
  const signal = AbortSignal.abort();
  await rejects(client.createProducer({ topic, signal }), "AbortError");
  await rejects(client.subscribe({ topic, subscription: "s", signal }), "AbortError");
  await rejects(client.topics("public/default", { signal }), "AbortError");
  const producer = await client.createProducer({ topic });
  const consumer = await client.subscribe({ topic, subscription: "s" });
  await rejects(producer.send("x", { signal }), "AbortError");
  await rejects(consumer.receive({ signal }), "AbortError");
  await rejects(consumer.receive({ signal: AbortSignal.timeout(50) }), "TimeoutError");
});
