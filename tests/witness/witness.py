"""The official Python client (C++ inside) as a witness: says in JSON lines what it reads and writes.

    witness.py URL CA_PEM_OR_DASH consume TOPIC SUBSCRIPTION COUNT
    witness.py URL CA_PEM_OR_DASH produce TOPIC single|batch [CODEC]      (messages as JSON lines on standard input)
"""

import json
import sys
import time

import pulsar


def main():
    url, ca, mode, topic = sys.argv[1:5]
    options = {} if ca == "-" else {"tls_trust_certs_file_path": ca}
    client = pulsar.Client(url, logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/null"), **options)
    if mode == "consume":
        consume(client, topic, sys.argv[5], int(sys.argv[6]))
    else:
        produce(client, topic, sys.argv[5] == "batch", sys.argv[6] if len(sys.argv) > 6 else "NONE")
    client.close()


def say(value):
    print(json.dumps(value), flush=True)


def text(message_id):
    """As Java prints it."""
    batch = f":{message_id.batch_index()}" if message_id.batch_index() >= 0 else ""
    return f"{message_id.ledger_id()}:{message_id.entry_id()}:{message_id.partition()}{batch}"


def consume(client, topic, subscription, count):
    consumer = client.subscribe(topic, subscription, initial_position=pulsar.InitialPosition.Earliest)
    say({"ready": True})
    for _ in range(count):
        message = consumer.receive(timeout_millis=20000)
        say(
            {
                "id": text(message.message_id()),
                "serialized": message.message_id().serialize().hex(),
                "payload": message.data().hex(),
                "key": message.partition_key(),
                "ordering_key": message.ordering_key(),
                "properties": message.properties(),
                "event_time": message.event_timestamp(),
                "producer": message.producer_name(),
            }
        )
        consumer.acknowledge(message)
    consumer.close()


CODECS = {
    "NONE": pulsar.CompressionType.NONE,
    "LZ4": pulsar.CompressionType.LZ4,
    "ZLIB": pulsar.CompressionType.ZLib,
    "ZSTD": pulsar.CompressionType.ZSTD,
    "SNAPPY": pulsar.CompressionType.SNAPPY,
}


def produce(client, topic, batch, codec):
    producer = client.create_producer(
        topic,
        compression_type=CODECS[codec],
        batching_enabled=batch,
        batching_max_messages=1000,
        batching_max_publish_delay_ms=20000,
        batching_max_allowed_size_in_bytes=1024 * 1024,
        block_if_queue_full=True,
    )
    say({"ready": True})
    ids = {}

    def sent(number):
        return lambda result, message_id: ids.__setitem__(number, (str(result), text(message_id)))

    total = 0
    for number, line in enumerate(sys.stdin):
        message = json.loads(line)
        options = {name: message[name] for name in ("properties", "event_timestamp", "partition_key") if name in message}
        producer.send_async(bytes.fromhex(message["payload"]), sent(number), **options)
        total += 1
    producer.flush()
    # The client's callbacks may still be running when its flush returns.
    deadline = time.monotonic() + 10
    while len(ids) < total and time.monotonic() < deadline:
        time.sleep(0.01)
    for number in range(total):
        say({"result": ids[number][0], "id": ids[number][1]})
    producer.close()


main()
