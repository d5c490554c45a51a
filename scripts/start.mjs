// `npm start`: the broker, the gateway and the console, in one process.

import { runTask } from "./common.mjs";

runTask("dev");
