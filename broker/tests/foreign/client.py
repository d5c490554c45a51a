"""What the official Python client (C++ inside) sees of a broker, line by line: client.py SERVICE_URL ADMIN_URL"""

import concurrent.futures
import datetime
import json
import re
import sys
import time
import urllib.error
import urllib.request

import pulsar
from pulsar import CompressionType, ConsumerType, InitialPosition, MessageId, ProducerAccessMode, schema

UNIQUE = str(time.time_ns())


def connected():
    quiet = pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/null")
    return pulsar.Client(sys.argv[1], logger=quiet, operation_timeout_seconds=10)


client = connected()
TYPES = (ConsumerType.Exclusive, ConsumerType.Shared, ConsumerType.Failover, ConsumerType.KeyShared)
SILENCE = 1500
# Parts run side by side; what they say comes in order.
pool = concurrent.futures.ThreadPoolExecutor(8)
said = []


def topic(name):
    return f"persistent://public/default/python-{name}-{UNIQUE}"


def part(name, run):
    def line():
        try:
            answer = run()
        except Exception as error:
            answer = type(error).__name__
        return f"> {name}: {answer}"

    said.append(pool.submit(line))


def outcome(run):
    try:
        run()
    except Exception as error:
        return type(error).__name__
    return "let in"


def admin(method, path, body=None):
    request = urllib.request.Request(
        f"{sys.argv[2]}/admin/v2/{path.replace('://', '/')}",
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"content-type": "application/json"},
    )
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code


def text(message):
    return message.data().decode()


def messages(consumer, silence=SILENCE, ack=True):
    """All that come until nothing does."""
    found = []
    while True:
        try:
            message = consumer.receive(silence)
        except pulsar.Timeout:
            return found
        if ack:
            consumer.acknowledge(message)
        found.append(message)


def come(consumer, silence=SILENCE):
    return " ".join(text(message) for message in messages(consumer, silence))


def together(consumer):
    """The same from several topics, between which there is no order."""
    return " ".join(sorted(text(message) for message in messages(consumer)))


def drain(consumer, count):
    found = []
    for _ in range(count):
        message = consumer.receive(10000)
        consumer.acknowledge(message)
        found.append(text(message))
    return " ".join(found)


def move(consumer, target):
    """Seeks; a consumer that was sent away by the last seek needs a moment to come back."""
    for attempt in range(50):
        try:
            consumer.seek(target)
            break
        except pulsar.NotConnected:
            if attempt == 49:
                raise
            time.sleep(0.1)
    time.sleep(1)


def batch(producer, count, first=0):
    """Messages in one batch; their ids in order."""
    ids = {}
    for n in range(first, first + count):
        producer.send_async(b"%d" % n, lambda _, id, n=n: ids.__setitem__(n, id))
    producer.flush()
    while len(ids) < count:
        time.sleep(0.01)
    return [ids[n] for n in sorted(ids)]


def batching(name, **options):
    return client.create_producer(name, batching_enabled=True, batching_max_publish_delay_ms=2000, **options)


def types():
    for kind in TYPES:
        name = topic(kind.name)

        def subscribers(name=name, kind=kind):
            first = client.subscribe(name, "s", kind)
            said = [outcome(lambda: client.subscribe(name, "s", other)) for other in TYPES]
            client.subscribe(name, "other", TYPES[0]).close()
            first.close()
            return said

        part(f"{kind.name}: who else may subscribe", subscribers)
        for batched in (False, True):

            def shared_out(kind=kind, batched=batched):
                name = topic(f"{kind.name}-{batched}")
                one = client.subscribe(name, "s", kind, consumer_name="one", receiver_queue_size=10)
                two = one
                if kind != ConsumerType.Exclusive:
                    two = client.subscribe(name, "s", kind, consumer_name="two", receiver_queue_size=10)
                by_key = pulsar.BatchingType.KeyBased
                producer = client.create_producer(name, batching_enabled=batched, batching_type=by_key)
                for n in range(60):
                    producer.send_async(b"%d" % n, lambda *_: None, partition_key=f"k{n % 12}")
                producer.flush()
                taken = {"one": [], "two": []}
                while sum(map(len, taken.values())) < 60:
                    for who, consumer in (("one", one), ("two", two)):
                        taken[who] += messages(consumer, 300)
                active = [who for who in taken if taken[who]]
                keys = [{m.partition_key() for m in taken[who]} for who in active]
                in_order = all(
                    sorted(of_key, key=int) == of_key
                    for key in set().union(*keys)
                    for of_key in [[text(m) for who in active for m in taken[who] if m.partition_key() == key]]
                )
                everything = sorted(int(text(m)) for who in active for m in taken[who]) == list(range(60))
                apart = len(keys) == 2 and not keys[0] & keys[1]
                answer = f"{len(active)} of them have all {everything}"
                if kind != ConsumerType.Shared:
                    answer += f", keys in order {in_order}, keys apart {apart}"
                return answer

            part(f"{kind.name}, batched {batched}", shared_out)

    def takes_over():
        name = topic("takes-over")
        consumers = [client.subscribe(name, "s", ConsumerType.Failover, consumer_name=who) for who in ("a", "b")]
        producer = client.create_producer(name)
        for n in range(4):
            producer.send(b"%d" % n)
        seen = [messages(consumer, ack=False) for consumer in consumers]
        active = 0 if seen[0] else 1
        consumers[active].acknowledge(seen[active][1])
        consumers[active].close()
        return [len(each) for each in sorted(seen, key=len)], come(consumers[1 - active])

    part("Failover: another takes over", takes_over)

    def sticky():
        def policy(*ranges):
            mode = pulsar.KeySharedMode.Sticky
            return pulsar.ConsumerKeySharedPolicy(mode, sticky_ranges=list(ranges))

        name, kind = topic("sticky"), ConsumerType.KeyShared
        low = client.subscribe(name, "s", kind, key_shared_policy=policy((0, 16383), (32768, 49151)))
        over = outcome(lambda: client.subscribe(name, "s", kind, key_shared_policy=policy((16383, 20000))))
        auto = outcome(lambda: client.subscribe(name, "s", kind))
        high = client.subscribe(name, "s", kind, key_shared_policy=policy((16384, 32767), (49152, 65535)))
        producer = client.create_producer(name)
        for n in range(20):
            producer.send(b"%d" % n, partition_key=f"key{n}")
        return over, auto, come(low), come(high)

    part("KeyShared: ranges", sticky)

    def left_behind():
        name = topic("left-behind")
        one = client.subscribe(name, "s", ConsumerType.Shared)
        producer = client.create_producer(name)
        for n in range(4):
            producer.send(b"%d" % n)
        taken = messages(one, ack=False)
        one.acknowledge(taken[1])
        one.close()
        two = messages(client.subscribe(name, "s", ConsumerType.Shared))
        return sorted(text(m) for m in two), sorted(m.redelivery_count() for m in two)

    part("Shared: what one leaves behind", left_behind)


def acknowledgements():
    def cumulative():
        consumer = client.subscribe(topic("cumulative"), "s")
        producer = client.create_producer(topic("cumulative"))
        for n in range(6):
            producer.send(b"%d" % n)
        consumer.acknowledge_cumulative(messages(consumer, ack=False)[3])
        consumer.close()
        return come(client.subscribe(topic("cumulative"), "s"))

    part("cumulative", cumulative)
    part(
        "cumulative, Shared",
        lambda: outcome(
            lambda: client.subscribe(topic("cumulative"), "shared", ConsumerType.Shared).acknowledge_cumulative(
                MessageId.earliest
            )
        ),
    )

    def part_of_a_batch(by_index):
        name = topic(f"index-{by_index}")
        options = {"consumer_type": ConsumerType.Shared, "batch_index_ack_enabled": by_index}
        consumer = client.subscribe(name, "s", **options)
        batch(batching(name), 6)
        for n, message in enumerate(messages(consumer, ack=False)):
            if n % 2 == 0:
                consumer.acknowledge(message)
        time.sleep(0.5)
        consumer.close()
        return come(client.subscribe(name, "s", **options))

    part("part of a batch", lambda: part_of_a_batch(False))
    part("part of a batch, by index", lambda: part_of_a_batch(True))

    def again():
        consumer = client.subscribe(topic("again"), "s", ConsumerType.Shared)
        producer = client.create_producer(topic("again"))
        for n in range(3):
            producer.send(b"%d" % n)
        consumer.acknowledge(messages(consumer, ack=False)[1])
        time.sleep(0.5)
        consumer.redeliver_unacknowledged_messages()
        return [(text(m), m.redelivery_count()) for m in messages(consumer)]

    part("redeliver what is not acknowledged", again)

    def unsubscribed():
        name = topic("unsubscribed")
        consumer = client.subscribe(name, "s")
        client.create_producer(name).send(b"x")
        consumer.unsubscribe()
        return come(client.subscribe(name, "s")) + "|" + come(
            client.subscribe(name, "t", initial_position=InitialPosition.Earliest)
        )

    part("unsubscribe", unsubscribed)


def negative():
    for batched in (False, True):

        def counts(batched=batched):
            name = topic(f"nack-{batched}")
            delay = {"negative_ack_redelivery_delay_ms": 100}
            consumer = client.subscribe(name, "s", ConsumerType.Shared, **delay)
            if batched:
                batch(batching(name), 3)
            else:
                producer = client.create_producer(name)
                for n in range(3):
                    producer.send(b"%d" % n)
            seen = []
            for _ in range(3):
                found = messages(consumer, ack=False)
                seen.append(" ".join(f"{text(m)}x{m.redelivery_count()}" for m in found))
                for message in found:
                    if text(message) == "1":
                        consumer.negative_acknowledge(message)
                    else:
                        consumer.acknowledge(message)
            return seen

        part(f"negative, batched {batched}", counts)


def delayed():
    def later():
        consumer = client.subscribe(topic("delayed"), "s", ConsumerType.Shared)
        exclusive = client.subscribe(topic("delayed"), "exclusive")
        producer = client.create_producer(topic("delayed"))
        sent = time.time()
        producer.send(b"late", deliver_after=datetime.timedelta(seconds=4))
        producer.send(b"later", deliver_at=int((sent + 6) * 1000))
        producer.send(b"now")
        found = []
        for wait in (2000, 10000, 10000):
            message = consumer.receive(wait)
            found.append((text(message), round((time.time() - sent) / 2) * 2))
        return found, come(exclusive)

    part("delayed", later)


def chunks():
    def whole():
        consumer = client.subscribe(topic("chunks"), "s")
        producer = client.create_producer(topic("chunks"), chunking_enabled=True)
        large = bytes(range(256)) * (48 << 10)
        producer.send(b"before")
        id = producer.send(large, properties={"a": "b"})
        last = producer.send(b"after")
        found = [consumer.receive(20000) for _ in range(3)]
        said = [len(m.data()) for m in found], found[1].data() == large, found[1].properties()
        apart = id.entry_id(), last.entry_id(), found[1].message_id() == id
        for message in found:
            consumer.acknowledge(message)
        move(consumer, id)
        after = [len(m.data()) for m in messages(consumer)]
        consumer.close()
        rest = [len(m.data()) for m in messages(client.subscribe(topic("chunks"), "s"))]
        reader = client.create_reader(topic("chunks"), id, start_message_id_inclusive=True)
        return said, apart, after, rest, len(reader.read_next(10000).data())

    part("chunks", whole)

    def too_large():
        producer = client.create_producer(topic("large"))
        return outcome(lambda: producer.send(bytes(6 << 20))), outcome(lambda: producer.send(b"small"))

    part("too large", too_large)

    def packed():
        consumer = client.subscribe(topic("packed"), "s")
        kinds = CompressionType.LZ4, CompressionType.ZLib, CompressionType.ZSTD, CompressionType.SNAPPY
        for kind in kinds:
            client.create_producer(topic("packed"), compression_type=kind).send(kind.name.encode() * 3)
        return come(consumer)

    part("packed", packed)

    def fields():
        consumer = client.subscribe(topic("fields"), "s")
        producer = client.create_producer(topic("fields"), producer_name="me")
        stamp = {"event_timestamp": 1234, "sequence_id": 77}
        producer.send(b"x", {"a": "1", "b": ""}, "key", "order", **stamp)
        producer.send(None, partition_key="key")
        one, none = messages(consumer)
        told = one.properties(), one.partition_key(), one.ordering_key(), one.event_timestamp(), one.producer_name()
        return told, none.has_null_value(), producer.last_sequence_id()

    part("fields", fields)


def seek():
    for batched in (False, True):
        for inclusive in (False, True):
            where = f"seek, batched {batched}, inclusive {inclusive}"
            options = {"start_message_id_inclusive": inclusive}

            def sought(what, targets, batched=batched, options=options):
                """What comes after each target: the number of a message, whose id or time it is, or another."""
                name = topic(f"seek-{batched}-{options}-{what}".replace(" ", ""))
                producer = batching(name) if batched else client.create_producer(name)
                consumer = client.subscribe(name, "s", **options)
                ids = []
                for n in range(0, 9, 3):
                    ids += batch(producer, 3, n)
                    time.sleep(0.1)
                stamps = [message.publish_timestamp() for message in messages(consumer)]
                seen = []
                for target in targets(ids, stamps):
                    move(consumer, target)
                    seen.append(come(consumer))
                # What one that comes later has to begin with.
                move(consumer, ids[2])
                consumer.acknowledge(consumer.receive(5000))
                consumer.close()
                return seen, come(client.subscribe(name, "s"))

            part(f"{where}: by id", lambda sought=sought: sought("id", lambda ids, _: ids))
            ends = MessageId.earliest, MessageId.latest
            part(f"{where}: to the ends", lambda sought=sought: sought("ends", lambda ids, _: (*ends, ids[4])))

            def times(_, stamps):
                return stamps[0] - 60000, stamps[3], stamps[3] - 50, stamps[8], stamps[8] + 60000

            part(f"{where}: by time", lambda sought=sought: sought("time", times))

    def partitioned():
        name = topic("seek-parts")
        made = admin("PUT", name + "/partitions", 2)
        consumer = client.subscribe(name, "s")
        producer = client.create_producer(name)
        for n in range(8):
            producer.send(b"%d" % n, partition_key=f"k{n}")
        seen = [together(consumer)]
        for target in (1, int(time.time() * 1000) + 60000, MessageId.earliest):
            move(consumer, target)
            seen.append(together(consumer))
        return made, seen

    part("seek in partitions", partitioned)


def readers():
    name = topic("reader")
    producer = batching(name)
    ids = batch(producer, 3) + batch(producer, 3, 3)

    def read(start, inclusive=False):
        reader = client.create_reader(name, start, start_message_id_inclusive=inclusive)
        found = []
        while reader.has_message_available():
            found.append(text(reader.read_next(10000)))
        return "".join(found)

    part("reader", lambda: [read(id) for id in ids])
    part("reader, inclusive", lambda: [read(id, True) for id in ids])
    part("reader at the ends", lambda: [read(MessageId.earliest), read(MessageId.latest), read(MessageId.latest, True)])

    def sought():
        reader = client.create_reader(name, MessageId.latest)
        reader.seek(MessageId.earliest)
        first = text(reader.read_next(10000))
        reader.seek(ids[4])
        return first, text(reader.read_next(10000)), reader.has_message_available()

    part("reader that seeks", sought)

    def last():
        last = client.subscribe(name, "last").get_last_message_id()
        empty = client.subscribe(topic("empty"), "s").get_last_message_id()
        return last.entry_id(), last.batch_index(), empty.entry_id()

    part("last ids", last)

    def viewed():
        pairs = client.create_producer(topic("view"))
        for n in range(6):
            pairs.send(b"%d" % n, partition_key=f"k{n % 2}")
        view = client.create_table_view(topic("view"))
        before = len(view), view.get("k0"), view.get("k1")
        pairs.send(b"new", partition_key="k2")
        for _ in range(50):
            if len(view) == 3:
                break
            time.sleep(0.1)
        return before, view.get("k2")

    part("table view", viewed)

    def compacted():
        name = topic("compacted")
        pairs = client.create_producer(name)
        for n in range(6):
            pairs.send(b"%d" % n, partition_key=f"k{n % 3}")
        pairs.send(None, partition_key="k1")
        said = admin("PUT", name + "/compaction")
        time.sleep(3)
        pairs.send(b"6", partition_key="k0")
        options = {"initial_position": InitialPosition.Earliest}
        return said, come(client.subscribe(name, "c", is_read_compacted=True, **options)), len(
            messages(client.subscribe(name, "all", **options))
        )

    part("compacted", compacted)


def schemas():
    class Thing(schema.Record):
        a = schema.Integer()
        b = schema.String()

    class More(schema.Record):
        a = schema.Integer()
        b = schema.String()
        c = schema.String(default="none", required=False)

    class Other(schema.Record):
        a = schema.String(required=True)

    def record(kind, name):
        name = topic(name)
        consumer = client.subscribe(name, "s", schema=kind(Thing))
        producer = client.create_producer(name, schema=kind(Thing))
        producer.send(Thing(a=1, b="x"))
        message = consumer.receive(10000)
        consumer.acknowledge(message)
        value = message.value()
        seen = [(value.a, value.b, len(message.schema_version()))]
        others = kind(More), kind(Other), schema.StringSchema(), schema.BytesSchema()
        seen.append([outcome(lambda: client.create_producer(name, schema=other)) for other in others])
        seen.append([outcome(lambda: client.subscribe(name, "t", schema=other).close()) for other in others])
        return seen

    part("schema, JSON", lambda: record(schema.JsonSchema, "schema-json"))

    def string():
        name = topic("schema-string")
        client.create_producer(name, schema=schema.StringSchema()).send("hello")
        reader = client.create_reader(name, MessageId.earliest, schema=schema.StringSchema())
        json_instead = outcome(lambda: client.create_producer(name, schema=schema.JsonSchema(Thing)))
        return reader.read_next(10000).value(), json_instead, outcome(lambda: client.create_producer(name))

    part("schema, string", string)


def dead_letters():
    def dead(name, **options):
        policy = pulsar.ConsumerDeadLetterPolicy(
            max_redeliver_count=2, initial_subscription_name="first", **options
        )
        consumer = client.subscribe(
            topic(name), "s", ConsumerType.Shared, negative_ack_redelivery_delay_ms=100, dead_letter_policy=policy
        )
        producer = client.create_producer(topic(name))
        producer.send(b"bad", {"mine": "1"}, "key")
        producer.send(b"good")
        seen = []
        for _ in range(4):
            message = consumer.receive(10000)
            seen.append(f"{text(message)}x{message.redelivery_count()}")
            if text(message) == "bad":
                consumer.negative_acknowledge(message)
            else:
                consumer.acknowledge(message)
        where = options.get("dead_letter_topic", topic(name) + "-s-DLQ")
        letter = client.subscribe(where, "first").receive(10000)
        letters = text(letter), sorted(letter.properties()), letter.partition_key()
        come(consumer)
        consumer.close()
        again = come(client.subscribe(topic(name), "s", ConsumerType.Shared))
        return sorted(seen), letters, again

    part("dead letter", lambda: dead("dlq", dead_letter_topic=topic("dead")))
    part("dead letter, usual topic", lambda: dead("dlq-usual"))


def patterns():
    def matching():
        for n in range(2):
            client.create_producer(topic(f"pattern{n}")).send(b"%d" % n)
        client.create_producer(topic("none-pattern")).send(b"none")
        client.create_producer(topic("pattern").replace("persistent:", "non-persistent:"))
        wanted = re.compile(f"persistent://public/default/python-pattern.*{UNIQUE}")
        consumer = client.subscribe(wanted, "s", initial_position=InitialPosition.Earliest)
        seen = sorted({text(message) for message in messages(consumer)})
        client.create_producer(topic("pattern1")).send(b"11")
        return seen, drain(consumer, 1)

    part("pattern", matching)

    def several():
        names = [topic("several0"), topic("several1")]
        consumer = client.subscribe(names, "s")
        for n, name in enumerate(names):
            client.create_producer(name).send(b"%d" % n)
        return sorted(drain(consumer, 2).split())

    part("several topics", several)

    def partitions():
        name = topic("parts")
        made = admin("PUT", name + "/partitions", 3), admin("PUT", name + "/partitions", 3)
        consumer = client.subscribe(name, "s", ConsumerType.Shared)
        producer = client.create_producer(name)
        ids = [producer.send(b"%d" % n, partition_key=f"k{n}") for n in range(9)]
        where = "".join(str(id.partition()) for id in ids)
        names = [each.split("-partition-")[1] for each in client.get_topic_partitions(name)]
        return made, names, where, "".join(sorted(drain(consumer, 9).split()))

    part("partitions", partitions)


def refusals():
    def names():
        wrong = "public/nowhere/t", "nobody/default/t", "public/default/a/b/c"
        makers = client.create_producer, lambda name: client.subscribe(name, "s")
        return [outcome(lambda: make("persistent://" + name)) for name in wrong for make in makers]

    part("bad names", names)

    def access():
        name, mode = topic("access"), ProducerAccessMode.Exclusive
        # A message of a producer that lost its access ends the connection: not the others' connection.
        alone = connected()
        first = alone.create_producer(name, access_mode=mode)
        second = outcome(lambda: alone.create_producer(name)), outcome(
            lambda: alone.create_producer(name, access_mode=mode)
        )
        fencing = alone.create_producer(name, access_mode=ProducerAccessMode.ExclusiveWithFencing)
        late = outcome(lambda: first.send(b"late"))
        fencing.send(b"x")
        fencing.close()
        last = outcome(lambda: alone.create_producer(name, access_mode=mode))
        alone.close()
        return second, late, last

    part("access", access)

    def same_name():
        first = client.create_producer(topic("name"), producer_name="n")
        second = outcome(lambda: client.create_producer(topic("name"), producer_name="n"))
        first.close()
        return second, client.create_producer(topic("name"), producer_name="n").producer_name()

    part("a name in use", same_name)

    def terminated():
        name = topic("terminated")
        producer = client.create_producer(name)
        producer.send(b"x")
        producer.close()
        said = admin("POST", name + "/terminate"), outcome(lambda: client.create_producer(name))
        # This client cuts its connection when it hears of the end of a topic: not the others' connection.
        alone = connected()
        seen = come(alone.subscribe(name, "s", initial_position=InitialPosition.Earliest))
        alone.close()
        return said, seen

    part("terminated", terminated)

    def deleted():
        name = topic("deleted")
        producer = client.create_producer(name)
        producer.send(b"x")
        said = [admin("DELETE", name)]
        producer.close()
        return said + [admin("DELETE", name), admin("DELETE", name), admin("GET", name + "/stats")]

    part("deleted", deleted)

    def twice():
        name = topic("dedup")
        said = admin("PUT", name), admin("POST", name + "/deduplicationEnabled", True)
        time.sleep(1)
        consumer = client.subscribe(name, "s")
        producer = client.create_producer(name, producer_name="p")
        for sequence in (1, 2, 2, 1, 3):
            producer.send(b"%d" % sequence, sequence_id=sequence)
        producer.close()
        return said, client.create_producer(name, producer_name="p").last_sequence_id(), come(consumer)

    part("deduplicated", twice)


for each in (
    types,
    acknowledgements,
    negative,
    delayed,
    chunks,
    seek,
    readers,
    schemas,
    dead_letters,
    patterns,
    refusals,
):
    each()
for line in said:
    print(line.result(), flush=True)
client.close()
print("> done", flush=True)
