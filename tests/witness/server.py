"""The official Python client (C++ inside) as a witness: server.py URL

Requests are JSON lines on standard input, each with an "id" that its answer repeats; they run concurrently. What each
wants and answers is written in tests/native/interop/witness.rs.
"""

import datetime
import hashlib
import json
import sys
import threading
import time

import pulsar

CODECS = {
    "NONE": pulsar.CompressionType.NONE,
    "LZ4": pulsar.CompressionType.LZ4,
    "ZLIB": pulsar.CompressionType.ZLib,
    "ZSTD": pulsar.CompressionType.ZSTD,
    "SNAPPY": pulsar.CompressionType.SNAPPY,
}
TYPES = {
    "Exclusive": pulsar.ConsumerType.Exclusive,
    "Shared": pulsar.ConsumerType.Shared,
    "Failover": pulsar.ConsumerType.Failover,
    "Key_Shared": pulsar.ConsumerType.KeyShared,
}

consumers = {}
out = threading.Lock()


def main():
    client = pulsar.Client(sys.argv[1], logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/null"))
    for line in sys.stdin:
        threading.Thread(target=answer, args=(client, json.loads(line)), daemon=True).start()


def answer(client, request):
    answers = {"produce": produce, "subscribe": subscribe, "receive": receive, "compare": compare, "close": close}
    try:
        result = answers[request["do"]](client, request) or {}
    except Exception as error:
        result = {"error": repr(error)}
    with out:
        print(json.dumps({"id": request["id"], **result}), flush=True)


def produce(client, request):
    mode = request.get("mode", "single")
    options = {}
    if mode == "chunk":
        options["chunking_enabled"] = True
    if mode == "keyed":
        options["batching_type"] = pulsar.BatchingType.KeyBased
    producer = client.create_producer(
        request["topic"],
        compression_type=CODECS[request.get("codec", "NONE")],
        batching_enabled=mode in ("batch", "alone", "keyed"),
        batching_max_messages=1000,
        batching_max_publish_delay_ms=20000,
        batching_max_allowed_size_in_bytes=1024 * 1024,
        block_if_queue_full=True,
        **options,
    )
    sent = [None] * len(request["messages"])

    def callback(number):
        def ended(result, message_id):
            ok = result == pulsar.Result.Ok
            sent[number] = message_id_json(message_id) if ok else {"error": str(result)}

        return ended

    for number, message in enumerate(request["messages"]):
        names = {"event_time": "event_timestamp", "key": "partition_key", "properties": "properties"}
        options = {names[name]: value for name, value in message.items() if name in names}
        if "ordering_key" in message:
            options["ordering_key"] = bytes.fromhex(message["ordering_key"]).decode()
        if "deliver_after_ms" in message:
            options["deliver_after"] = datetime.timedelta(milliseconds=message["deliver_after_ms"])
        try:
            producer.send_async(payload(message["payload"]), callback(number), **options)
        except Exception as error:
            sent[number] = {"error": repr(error)}
        # This client refuses batches of at most one.
        if mode == "alone":
            producer.flush()
    producer.flush()
    # The client's callbacks may still be running when its flush returns.
    deadline = time.monotonic() + 30
    while None in sent and time.monotonic() < deadline:
        time.sleep(0.01)
    producer.close()
    return {"sent": sent}


def payload(given):
    if isinstance(given, str):
        return bytes.fromhex(given)
    seed, length = given["random"]
    blocks = (hashlib.sha256(f"{seed}:{block}".encode()).digest() for block in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def said(data):
    if len(data) > 4096:
        return {"sha256": hashlib.sha256(data).hexdigest(), "length": len(data)}
    return data.hex()


def subscribe(client, request):
    consumers[request["handle"]] = client.subscribe(
        request["topic"],
        request["subscription"],
        consumer_type=TYPES[request.get("type", "Exclusive")],
        initial_position=pulsar.InitialPosition.Earliest,
        receiver_queue_size=request.get("queue", 1000),
    )


def receive(client, request):
    consumer = consumers[request["handle"]]
    messages = []
    while len(messages) < request["count"]:
        try:
            message = consumer.receive(timeout_millis=request["timeout_ms"])
        except pulsar.Timeout:
            break
        one = message_id_json(message.message_id())
        one.update(
            payload=said(message.data()),
            properties=message.properties(),
            event_time=message.event_timestamp(),
            producer=message.producer_name(),
            at_ms=int(time.time() * 1000),
        )
        if message.partition_key():
            one["key"] = message.partition_key()
        if message.ordering_key():
            one["ordering_key"] = message.ordering_key().encode().hex()
        messages.append(one)
        if request.get("acknowledge", True):
            consumer.acknowledge(message)
    return {"messages": messages}


def compare(client, request):
    ids = [pulsar.MessageId.deserialize(bytes.fromhex(each)) for each in request["ids"]]
    # The client's ids know their order, and Python's sort asks for no more than that.
    return {"order": sorted(range(len(ids)), key=ids.__getitem__)}


def close(client, request):
    consumers.pop(request["handle"]).close()


def message_id_json(message_id):
    """As Java prints it, and serialised."""
    batch = f":{message_id.batch_index()}" if message_id.batch_index() >= 0 else ""
    text = f"{message_id.ledger_id()}:{message_id.entry_id()}:{message_id.partition()}{batch}"
    return {"message_id": text, "serialized": message_id.serialize().hex()}


main()
