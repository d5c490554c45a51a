import { packBlock } from "../fake-core.js";
import { equal, ok, unit } from "../harness.js";
import { Block } from "../internals.js";

const full = {
  ledger: 9007199254740993n,
  entry: 2n ** 62n,
  partition: 3,
  batchIndex: 1,
  batchSize: 2,
  redeliveryCount: 4,
  publishTime: 1_700_000_000_123,
  eventTime: 1_600_000_000_000,
  brokerPublishTime: 1_700_000_000_456,
  index: 77n,
  sequenceId: 2n ** 40n,
  payload: new TextEncoder().encode('{"price":1.5,"name":"Zoë"}'),
  key: "clé",
  orderingKey: Uint8Array.of(1, 2),
  producerName: "p-1",
  replicatedFrom: "us-west",
  properties: ["a", "1", "é", "ü", "__proto__", "x", "a", "2", "empty", ""],
  topic: "persistent://public/default/orders-partition-3",
  schemaVersion: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 9),
};
const bare = {
  ledger: 1n,
  entry: 2n,
  payload: new Uint8Array(0),
  topic: "persistent://public/default/t",
  flags: 1,
};

unit("c30_message_reads_every_field_of_a_packed_block", () => {
  const block = new Block(packBlock([full, bare]));
  equal(block.count, 2);
  for (const message of [block.message(0), block.message(0).copy()]) {
    equal(message.id.toString(), "9007199254740993:4611686018427387904:3:1");
    equal(message.id.batchSize, 2);
    equal(message.redeliveryCount, 4);
    equal(message.publishTime, full.publishTime);
    equal(message.eventTime, full.eventTime);
    equal(message.brokerPublishTime, full.brokerPublishTime);
    equal(message.index, 77n);
    equal(message.sequenceId, 2n ** 40n);
    equal(message.json<{ name: string }>().name, "Zoë");
    equal(message.size, full.payload.length);
    equal(message.key, "clé");
    equal(message.orderingKey, full.orderingKey);
    equal(message.producerName, "p-1");
    equal(message.replicatedFrom, "us-west");
    equal(message.schemaVersion, full.schemaVersion);
    equal(message.topic, full.topic);
    equal(message.properties.a, "2", "of a name given twice the last");
    equal(message.properties.é, "ü");
    equal(message.properties.empty, "");
    equal(Object.getOwnPropertyDescriptor(message.properties, "__proto__")?.value, "x");
    equal(message.isNull, false);
  }
});

unit("c30_message_absent_fields_are_undefined", () => {
  const message = new Block(packBlock([full, bare])).message(1).copy();
  equal(message.id.toString(), "1:2:-1");
  equal(message.data.length, 0);
  equal(message.text(), "");
  for (const name of ["key", "keyBytes", "orderingKey", "eventTime", "brokerPublishTime", "index"] as const) {
    equal(message[name], undefined, name);
  }
  equal(message.replicatedFrom, undefined);
  equal(Object.keys(message.properties).length, 0);
  equal(message.isNull, true);
});

unit("message_copy_stands_alone", () => {
  const bytes = packBlock([full, bare]);
  const copy = new Block(bytes).message(0).copy();
  ok(copy.data.buffer.byteLength < bytes.length, "a copy holds its own bytes only");
  bytes.fill(0);
  equal(copy.key, "clé");
});

unit("message_key_sent_as_bytes_is_base64", () => {
  const message = new Block(packBlock([{ ...bare, key: "AP8=", flags: 2 }])).message(0);
  equal(message.key, "AP8=");
  equal(message.keyBytes, Uint8Array.of(0, 255));
});

unit("block_that_lies_about_its_count_is_refused", () => {
  try {
    new Block(Uint8Array.of(255, 255, 0, 0, 0, 0, 0, 0));
  } catch {
    return;
  }
  throw new Error("it was taken");
});
