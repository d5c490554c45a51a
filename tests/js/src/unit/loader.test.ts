import { PulsarError } from "pulsewire";
import { FakeCore, instanceOf } from "../fake-core.js";
import { equal, ok, rejects, unit } from "../harness.js";
import { Loader } from "../internals.js";

/** The smallest module there is. */
const EMPTY = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const compile = (): Promise<WebAssembly.Module> => WebAssembly.compile(EMPTY);

unit("loader_compiles_once_and_not_before_the_first_call", async () => {
  let compiled = 0;
  const loader = new Loader(
    () => {
      compiled += 1;
      return compile();
    },
    async () => instanceOf(new FakeCore()),
  );
  equal(compiled, 0);
  const [a, b] = await Promise.all([loader.ready(), loader.ready()]);
  ok(a === b && a === (await loader.ready()), "one instance");
  equal(compiled, 1);
});

unit("loader_tries_again_after_a_failure", async () => {
  let calls = 0;
  const loader = new Loader(
    () => {
      calls += 1;
      return calls === 1 ? Promise.reject(new Error("offline")) : compile();
    },
    async () => instanceOf(new FakeCore()),
  );
  const error = await rejects(loader.ready(), "ModuleLoadFailed");
  ok(error.retryable && error.message.includes("offline") && error.cause instanceof Error, error.message);
  await loader.ready();
  equal(calls, 2);
});

unit("loader_names_the_policy_that_forbids_wasm", async () => {
  const loader = new Loader(() => Promise.reject(new Error("violates the Content Security Policy directive")));
  const error = await rejects(loader.ready(), "ModuleLoadFailed");
  ok(error.message.includes("'wasm-unsafe-eval'"), error.message);
});

unit("loader_makes_a_new_instance_of_the_same_module_after_a_trap", async () => {
  let compiled = 0;
  const made: ReturnType<typeof instanceOf>[] = [];
  const loader = new Loader(
    () => {
      compiled += 1;
      return compile();
    },
    async () => {
      const instance = instanceOf(new FakeCore());
      made.push(instance);
      return instance;
    },
  );
  const first = await loader.ready();
  made[0]?.trap(new PulsarError("Fatal", "boom"));
  const second = await loader.ready();
  ok(first !== second, "another instance");
  equal([compiled, made.length], [1, 2]);
});
