"""What the official Python client (C++ inside) sees of a broker, line by line: client.py SERVICE_URL"""

import datetime
import re
import sys
import time

import pulsar
from pulsar import ConsumerType, InitialPosition, MessageId

UNIQUE = str(time.time_ns())
client = pulsar.Client(sys.argv[1], logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/null"))


def topic(name):
    return f"persistent://public/default/python-{name}-{UNIQUE}"


def part(run):
    try:
        answer = run()
    except Exception as error:
        answer = type(error).__name__
    print(f"> {run.__name__}: {answer}", flush=True)


def drain(consumer, count):
    found = []
    for _ in range(count):
        message = consumer.receive(10000)
        consumer.acknowledge(message)
        found.append(message.data().decode())
    return found


def types():
    seen = []
    for kind in (ConsumerType.Exclusive, ConsumerType.Shared, ConsumerType.Failover, ConsumerType.KeyShared):
        consumer = client.subscribe(topic(str(kind)), "s", kind)
        producer = client.create_producer(topic(str(kind)))
        for n in range(20):
            producer.send(b"%d" % n, partition_key=str(n % 3))
        seen.append(sorted(drain(consumer, 20)))
        consumer.close()
    return seen


def negative():
    consumer = client.subscribe(topic("nack"), "s", ConsumerType.Shared, negative_ack_redelivery_delay_ms=100)
    client.create_producer(topic("nack")).send(b"x")
    consumer.negative_acknowledge(consumer.receive(10000))
    return consumer.receive(10000).redelivery_count()


def delayed():
    consumer = client.subscribe(topic("delayed"), "s", ConsumerType.Shared)
    producer = client.create_producer(topic("delayed"))
    producer.send(b"late", deliver_after=datetime.timedelta(seconds=2))
    producer.send(b"now")
    return drain(consumer, 2)


def chunks():
    consumer = client.subscribe(topic("chunks"), "s")
    producer = client.create_producer(topic("chunks"), chunking_enabled=True, batching_enabled=False)
    producer.send(bytes(12 << 20))
    return len(consumer.receive(20000).data())


def seek():
    consumer = client.subscribe(topic("seek"), "s", initial_position=InitialPosition.Earliest)
    producer = client.create_producer(topic("seek"))
    ids = [producer.send(b"%d" % n) for n in range(5)]
    seen = drain(consumer, 5)
    for target in (ids[2], MessageId.earliest):
        consumer.seek(target)
        time.sleep(0.5)
        seen += drain(consumer, 1)
    return seen


def schemas():
    class Thing(pulsar.schema.Record):
        a = pulsar.schema.Integer()
        b = pulsar.schema.String()

    schema = pulsar.schema.JsonSchema(Thing)
    consumer = client.subscribe(topic("schema"), "s", schema=schema)
    client.create_producer(topic("schema"), schema=schema).send(Thing(a=1, b="x"))
    value = consumer.receive(10000).value()
    try:
        client.create_producer(topic("schema"), schema=pulsar.schema.StringSchema())
        refused = None
    except Exception as error:
        refused = type(error).__name__
    return value.a, value.b, refused


def dead_letter():
    policy = pulsar.ConsumerDeadLetterPolicy(
        max_redeliver_count=2, dead_letter_topic=topic("dead"), initial_subscription_name="first"
    )
    consumer = client.subscribe(
        topic("dlq"), "s", ConsumerType.Shared, negative_ack_redelivery_delay_ms=100, dead_letter_policy=policy
    )
    client.create_producer(topic("dlq")).send(b"bad")
    for _ in range(3):
        consumer.negative_acknowledge(consumer.receive(10000))
    return drain(client.subscribe(topic("dead"), "first"), 1)


def pattern():
    for n in range(2):
        client.create_producer(topic(f"pattern{n}")).send(b"%d" % n)
    wanted = re.compile(f"persistent://public/default/python-pattern.*{UNIQUE}")
    consumer = client.subscribe(wanted, "s", initial_position=InitialPosition.Earliest)
    return sorted(drain(consumer, 2))


def reader():
    reader = client.create_reader(topic("seek"), MessageId.earliest)
    count = 0
    while reader.has_message_available():
        reader.read_next(10000)
        count += 1
    return count


for each in (types, negative, delayed, chunks, seek, schemas, dead_letter, pattern, reader):
    part(each)
client.close()
print("> done", flush=True)
