import { MessageId, PulsarError } from "pulsewire";
import { equal, ok, unit } from "../harness.js";

unit("message_id_prints_and_parses_as_java_does", () => {
  for (const text of ["12:34:-1", "12:34:5", "12:34:5:6", "9223372036854775807:9223372036854775806:0:0", "-1:-1:-1"]) {
    equal(MessageId.parse(text).toString(), text);
  }
  equal(MessageId.parse("7:8").toString(), "7:8:-1");
  equal(JSON.stringify({ id: MessageId.parse("7:8:2") }), '{"id":"7:8:2"}');
  equal(MessageId.earliest.toString(), "-1:-1:-1");
  equal(MessageId.latest.toString(), "9223372036854775807:9223372036854775807:-1");
});

unit("message_id_refuses_what_is_not_one", () => {
  for (const text of [
    "",
    "1",
    "1:",
    "a:b",
    "1:2:3:4:5",
    "1:2:-7",
    "1.5:2",
    "99999999999999999999:1",
    "1:2:4294967296",
  ]) {
    try {
      MessageId.parse(text);
    } catch (error) {
      ok(error instanceof PulsarError && error.code === "InvalidMessageId", `'${text}': ${error}`);
      continue;
    }
    throw new Error(`'${text}' was taken for an id`);
  }
});

unit("message_id_keeps_64_bits", () => {
  const id = MessageId.of(2n ** 63n - 1n, 2n ** 53n + 1n, { partition: 3, batchIndex: 4, batchSize: 9 });
  equal(id.ledgerId, 9223372036854775807n);
  equal(id.entryId, 9007199254740993n);
  const back = MessageId.deserialize(id.serialize());
  ok(back.equals(id), "serialised and back");
  equal(back.batchSize, 9);
});

unit("message_id_serialises_to_the_bytes_of_the_java_client", () => {
  // MessageIdData{ledgerId: 1, entryId: 300, partition: 2, batch_index: 5, batch_size: 10}
  const bytes = Uint8Array.of(0x08, 1, 0x10, 0xac, 0x02, 0x18, 2, 0x20, 5, 0x30, 10);
  const id = MessageId.of(1n, 300n, { partition: 2, batchIndex: 5, batchSize: 10 });
  equal(id.serialize(), bytes);
  equal(MessageId.deserialize(bytes).toString(), "1:300:2:5");
  // Partition and batch are left out where there are none; -1 is ten bytes.
  equal(MessageId.of(1n, 2n).serialize(), Uint8Array.of(0x08, 1, 0x10, 2));
  const earliest = MessageId.earliest.serialize();
  equal(earliest.length, 22);
  ok(MessageId.deserialize(earliest).equals(MessageId.earliest), "earliest and back");
});

unit("message_id_deserialise_skips_unknown_fields_and_refuses_cut_bytes", () => {
  // ack_set (5, packed), first_chunk_message_id (7, a message), and a field of the future
  const bytes = Uint8Array.of(0x08, 1, 0x2a, 1, 0x7f, 0x3a, 4, 8, 9, 16, 9, 0x10, 2, 0xfa, 0x01, 1, 0);
  equal(MessageId.deserialize(bytes).toString(), "1:2:-1");
  for (const cut of [Uint8Array.of(), Uint8Array.of(8), Uint8Array.of(8, 0x80), Uint8Array.of(8, 1, 0x2a, 200)]) {
    try {
      MessageId.deserialize(cut);
    } catch (error) {
      ok(error instanceof PulsarError, String(error));
      continue;
    }
    throw new Error("cut bytes were taken for an id");
  }
});

unit("message_id_orders", () => {
  const ids = ["2:0:0", "1:5:0:1", "1:5:0:0", "1:4:0:9"].map((text) => MessageId.parse(text));
  equal(
    ids.sort((a, b) => a.compareTo(b)).map((id) => id.toString()),
    ["1:4:0:9", "1:5:0:0", "1:5:0:1", "2:0:0"],
  );
  ok(MessageId.earliest.compareTo(ids[0] as MessageId) < 0, "earliest is first");
  ok(MessageId.latest.compareTo(ids[3] as MessageId) > 0, "latest is last");
});
