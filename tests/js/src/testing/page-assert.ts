// Stands for `node:assert/strict` in a page: as much of it as the examples use.

const show = (value: unknown): string => JSON.stringify(value) ?? String(value);

function same(actual: unknown, expected: unknown): void {
  if (actual !== expected && show(actual) !== show(expected)) {
    throw new Error(`${show(actual)} instead of ${show(expected)}`);
  }
}

function fits(error: unknown, expected: { code: string }): void {
  same((error as { code?: unknown } | undefined)?.code, expected.code);
}

export default {
  ok(condition: unknown): void {
    if (!condition) throw new Error("it does not hold");
  },
  equal: same,
  deepEqual: same,
  throws(call: () => unknown, expected: { code: string }): void {
    let error: unknown;
    try {
      call();
    } catch (thrown) {
      error = thrown;
    }
    fits(error, expected);
  },
  async rejects(promise: Promise<unknown>, expected: { code: string }): Promise<void> {
    const error = await promise.then(
      (value) => new Error(`it resolved with ${show(value)}`),
      (reason: unknown) => reason,
    );
    fits(error, expected);
  },
};
