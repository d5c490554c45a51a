// Stands for `node:test` in a page: as much of it as the examples use.

interface Test {
  name: string;
  run: () => Promise<void> | void;
}

const tests: Test[] = [];

export function test(name: string, run: Test["run"]): void {
  tests.push({ name, run });
}

/** Runs all, one after the other; the names of those that failed, with what they threw. */
export async function runAll(): Promise<{ passed: string[]; failed: string[] }> {
  const passed: string[] = [];
  const failed: string[] = [];
  for (const { name, run } of tests) {
    try {
      await run();
      passed.push(name);
    } catch (error) {
      failed.push(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
    }
  }
  return { passed, failed };
}
