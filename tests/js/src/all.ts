// Every test file. Importing them registers their tests.

import "./cluster/client.test.js";
import "./cluster/consumer.test.js";
import "./cluster/producer.test.js";
import "./cluster/testing.test.js";
import "./unit/client.test.js";
import "./unit/loader.test.js";
import "./unit/message.test.js";
import "./unit/module.test.js";
import "./unit/message-id.test.js";
import "./unit/testing.test.js";
