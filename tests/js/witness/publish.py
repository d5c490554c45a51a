"""Publishes one message with the official client, for the console's test.

PULSAR_BROKER_URL, TOPIC, PAYLOAD, KEY and PROPERTY (name=value) come from the environment. Run it with the
interpreter that `cargo xtask python` prints.
"""

import os

import pulsar

client = pulsar.Client(os.environ["PULSAR_BROKER_URL"], logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
producer = client.create_producer(os.environ["TOPIC"])
name, _, value = os.environ["PROPERTY"].partition("=")
producer.send(
    os.environ["PAYLOAD"].encode(),
    partition_key=os.environ["KEY"],
    properties={name: value},
)
client.close()
