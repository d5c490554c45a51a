import { Client, type ClientBase, type Message, PulsarError } from "pulsewire";
import { FakeCore, instanceOf } from "../fake-core.js";
import { equal, ok, rejects, sleep, unit } from "../harness.js";
import { BaseClient } from "../internals.js";

function fake(core = new FakeCore()) {
  const instance = instanceOf(core);
  const loader = { ready: () => Promise.resolve(instance) };
  const client: ClientBase = new BaseClient({ serviceUrl: "ws://fake" }, loader);
  return { client, core, instance };
}

async function opened(options?: { initialPosition?: "earliest" | "latest" }) {
  const { client, core, instance } = fake();
  const consumer = await client.subscribe({ topic: "t", subscription: "s", ...options });
  const producer = await client.createProducer({ topic: "t" });
  return { client, core, instance, consumer, producer };
}

const state = (core: FakeCore) => [...core.consumers][0];

unit("p01_send_resolves_with_ids_in_order", async () => {
  const { producer } = await opened();
  const ids = await Promise.all(Array.from({ length: 100 }, (_, number) => producer.send(`m-${number}`)));
  for (const [number, id] of ids.entries()) equal(id.entryId, BigInt(number));
  equal(ids[0]?.ledgerId, 4611686018427387904n);
});

unit("c02_receive_takes_turns_and_loses_nothing", async () => {
  const { producer, consumer } = await opened();
  const early = [consumer.receive(), consumer.receive()];
  for (const text of ["a", "b", "c"]) await producer.send(text);
  equal(
    (await Promise.all(early)).map((message) => message.text()),
    ["a", "b"],
  );
  equal((await consumer.receive()).text(), "c");
});

unit("c02_receive_with_timeout_leaves_the_message_to_the_next", async () => {
  const { producer, consumer } = await opened();
  const error = await rejects(consumer.receive({ timeout: 10 }), "Timeout");
  ok(error.retryable, "a later call can succeed");
  await producer.send("late");
  equal((await consumer.receive({ timeout: 1000 })).text(), "late");
});

unit("n08_abort_gives_up_a_wait_and_loses_nothing", async () => {
  const { producer, consumer } = await opened();
  const stop = new AbortController();
  const reason = new Error("enough");
  const waiting = consumer.receive({ signal: stop.signal });
  stop.abort(reason);
  equal(await waiting.catch((error: unknown) => error === reason), true, "rejects with the signal's reason");
  equal(await consumer.receive({ signal: stop.signal }).catch((error: unknown) => error === reason), true);
  await producer.send("kept");
  equal((await consumer.receive()).text(), "kept");
});

unit("n08_abort_of_an_opening_closes_what_opens_late", async () => {
  const { client, core } = fake();
  await client.topics("public/default");
  let open = (): void => {};
  core.gate = new Promise((resolve) => {
    open = resolve;
  });
  const stop = new AbortController();
  const waiting = client.subscribe({ topic: "t", subscription: "s", signal: stop.signal });
  await sleep(1);
  stop.abort();
  equal(await waiting.catch((error: Error) => error.name), "AbortError");
  open();
  await sleep(5);
  equal(core.consumers.size, 0);
});

unit("c04_for_await_ends_when_the_consumer_closes", async () => {
  const { producer, consumer } = await opened();
  const seen: string[] = [];
  const loop = (async () => {
    for await (const message of consumer) {
      seen.push(message.text());
      await consumer.acknowledge(message);
      if (seen.length === 3) void consumer.close();
    }
  })();
  for (const text of ["1", "2", "3"]) await producer.send(text);
  await loop;
  equal(seen, ["1", "2", "3"]);
  await rejects(consumer.receive(), "AlreadyClosed");
  await rejects(consumer.acknowledge({} as Message), "AlreadyClosed");
});

unit("c05_acknowledge_takes_messages_and_ids", async () => {
  const { producer, consumer, core } = await opened();
  await Promise.all([producer.send("a"), producer.send("b")]);
  const first = await consumer.receive();
  const second = await consumer.receive();
  await consumer.acknowledge(first);
  await consumer.acknowledge(second.id);
  equal(state(core)?.acknowledged, ["4611686018427387904:0", "4611686018427387904:1"]);
  await rejects(consumer.acknowledge({} as Message), "InvalidArgument");
});

unit("c29_permits_go_back_for_messages_that_the_application_got", async () => {
  const { producer, consumer, core } = await opened();
  await Promise.all(Array.from({ length: 10 }, () => producer.send("x")));
  const delivered: (number | undefined)[] = [];
  for (let count = 0; count < 10; count++) {
    await consumer.receive();
    delivered.push(state(core)?.delivered);
  }
  equal(state(core)?.queue.length, 0, "all were taken over in one call");
  equal(delivered, [0, 0, 3, 3, 3, 6, 6, 6, 9, 10], "never more than were handed out");
});

unit("consumer_forgets_undelivered_messages_when_they_come_again", async () => {
  const { producer, consumer, core } = await opened();
  await Promise.all([producer.send("a"), producer.send("b")]);
  await consumer.receive();
  const inner = state(core);
  ok(inner, "a consumer");
  inner.sink.reset(inner.handle);
  const stored = core.topics.get(inner.topic)?.[1];
  ok(stored, "the second message");
  core.deliver(inner, { ...stored, redeliveryCount: 1 });
  const again = await consumer.receive();
  equal([again.text(), again.redeliveryCount], ["b", 1]);
});

unit("k11_close_settles_all_waits_and_refuses_later_calls", async () => {
  const { client, producer, consumer } = await opened();
  const waiting = consumer.receive();
  const [result] = await Promise.allSettled([waiting, client.close()]);
  equal(result.status, "rejected");
  await client.close();
  await rejects(producer.send("late"), "AlreadyClosed");
  await rejects(consumer.receive(), "AlreadyClosed");
  await rejects(client.createProducer({ topic: "t" }), "AlreadyClosed");
  equal(client.state, "closed");
  await producer.close();
  await consumer.close();
});

unit("n08_async_dispose_closes", async () => {
  const { client, core } = fake();
  {
    await using consumer = await client.subscribe({ topic: "t", subscription: "s" });
    equal(consumer.closed, false);
  }
  equal(core.consumers.size, 0);
  await client[Symbol.asyncDispose]();
  equal(client.state, "closed");
});

unit("client_tells_its_state", async () => {
  const { client } = fake();
  const seen: string[] = [];
  client.addEventListener("state", (event) => seen.push(event.state));
  equal(client.state, "idle");
  await client.topics("public/default");
  await sleep(5);
  await client.close();
  await sleep(0);
  equal(seen, ["connecting", "connected", "closed"]);
});

unit("client_is_lost_after_a_trap_and_says_so", async () => {
  const { client, instance, producer, consumer } = await opened();
  const waiting = consumer.receive();
  const events: string[] = [];
  client.addEventListener("fatal", (event) => events.push(event.error.message));
  instance.trap(new PulsarError("Fatal", "panicked at src/x.rs:1"));
  await rejects(waiting, "Fatal");
  await rejects(producer.send("x"), "Fatal");
  await rejects(client.topics("public/default"), "Fatal");
  equal(events, ["panicked at src/x.rs:1"]);
  equal(client.state, "failed");
  await client.close();
});

unit("errors_of_the_core_are_typed", async () => {
  const { client, core } = fake();
  core.failures.push({
    code: "ConsumerBusy",
    message: "exclusive consumer is already connected",
    retryable: true,
  });
  const error = await rejects(client.subscribe({ topic: "t", subscription: "s" }), "ConsumerBusy");
  ok(error instanceof PulsarError && error instanceof Error && error.retryable, "a PulsarError");
  equal(error.name, "PulsarError");
});

unit("bad_input_is_refused_with_a_typed_error", async () => {
  const { client, producer, core } = await opened();
  core.maxMessageSize = 10;
  await rejects(producer.send(new Uint8Array(11)), "MessageTooLarge");
  await rejects(producer.send(5 as never), "InvalidArgument");
  await rejects(producer.send(null as never), "InvalidArgument");
  await rejects(producer.send("x", { key: "a", keyBytes: new Uint8Array(1) }), "InvalidArgument");
  await rejects(producer.send("x", { properties: { n: 1 as never } }), "InvalidArgument");
  await rejects(producer.send("x", { eventTime: Number.NaN }), "InvalidArgument");
  await rejects(client.createProducer({} as never), "InvalidArgument");
  await rejects(client.subscribe({ topic: "t" } as never), "InvalidArgument");
  await rejects(client.topics(""), "InvalidArgument");
  await producer.send("it lives");
});

unit("k01_service_url_must_be_a_gateway", () => {
  for (const [serviceUrl, code] of [
    ["pulsar://localhost:6650", "InvalidServiceUrl"],
    ["localhost:8080", "InvalidServiceUrl"],
    ["", "InvalidArgument"],
  ] as const) {
    try {
      new Client({ serviceUrl });
    } catch (error) {
      ok(error instanceof PulsarError, String(error));
      equal(error.code, code);
      ok(error.message.includes("ws://"), error.message);
      continue;
    }
    throw new Error(`'${serviceUrl}' was taken`);
  }
});
