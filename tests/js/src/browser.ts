// The suite in a page: the runner calls `pulsewireSuite` and gives it a function to report to.

import "./all.js";
import { type Result, type RunOptions, run } from "./harness.js";

declare global {
  interface Window {
    pulsewireSuite(options: RunOptions): Promise<void>;
    pulsewireReport(result: Result): Promise<void>;
  }
}

window.pulsewireSuite = async (options) => {
  const reports: Promise<void>[] = [];
  await run(options, (result) => reports.push(window.pulsewireReport(result)));
  await Promise.all(reports);
};
