// `npm test`: all suites; the last line is `N passed, N failed`.

import { runTask } from "./common.mjs";

runTask("test");
