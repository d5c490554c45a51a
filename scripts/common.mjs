// What `npm start` and `npm test` share: is everything here that the task runner itself needs? The task runner
// (xtask, in Rust) looks after the rest. No npm packages in here: this runs before there are any.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const top = dirname(dirname(fileURLToPath(import.meta.url)));

/** Ends with a message and the one command that mends it. */
function stop(problem, mend) {
  console.error(`error: ${problem}`);
  console.error(`mend it with: ${mend}`);
  process.exit(1);
}

function works(program, ...args) {
  const result = spawnSync(program, args, { stdio: "ignore", cwd: top });
  return !result.error && result.status === 0;
}

function checkTools() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) {
    stop(`Node 20 or later is needed, this is ${process.versions.node}`, "npx --yes node@22 scripts/start.mjs");
  }
  const cargoBin = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin");
  if (existsSync(cargoBin) && !(process.env.PATH ?? "").split(delimiter).includes(cargoBin)) {
    process.env.PATH = `${process.env.PATH ?? ""}${delimiter}${cargoBin}`;
  }
  if (!works("cargo", "--version")) {
    stop(
      "Rust's cargo is not there, or rustup has no default toolchain",
      works("rustup", "--version")
        ? "rustup default stable"
        : "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh",
    );
  }
  if (!works("cc", "--version") && process.platform === "linux") {
    stop("a C compiler is needed for linking", "sudo apt-get install -y gcc libc6-dev");
  }
}

/** `npm ci`, if what is installed is not what the lock file says. */
function installPackages() {
  const lock = join(top, "package-lock.json");
  const locked = existsSync(lock);
  const hash = createHash("sha256");
  for (const file of ["package.json", "js/package.json", "www/package.json", "tests/js/package.json", lock]) {
    const path = file === lock ? lock : join(top, file);
    hash.update(existsSync(path) ? readFileSync(path) : "").update("\0");
  }
  const wanted = hash.digest("hex");
  const stamp = join(top, "node_modules", ".pulsewire-stamp");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) {
    return;
  }
  const args = locked ? ["ci"] : ["install", "--no-package-lock"];
  console.log(`installing npm packages: the console, the package and their tests are built with them`);
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const result = spawnSync(npm, [...args, "--no-audit", "--no-fund", "--loglevel", "error"], {
    stdio: "inherit",
    cwd: top,
  });
  if (result.error || result.status !== 0) {
    stop("the npm packages could not be installed", `npm ${args.join(" ")}`);
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, wanted);
}

/** Prepares, then runs a task of xtask with our own arguments behind it, and ends as it ends. */
export function runTask(task) {
  checkTools();
  installPackages();
  // Built first and run by itself: under `cargo run` it would hand cargo's variables on to the cargo that it calls,
  // whose build scripts would see another environment than last time and run again.
  const xtask = join(process.env.CARGO_TARGET_DIR ?? join(top, "target"), "debug", "xtask");
  if (!existsSync(xtask)) {
    console.log("building the task runner, which builds the rest: a minute or so, once");
  }
  const built = spawnSync("cargo", ["build", "--quiet", "--package", "xtask"], { stdio: "inherit", cwd: top });
  if (built.status !== 0) {
    process.exit(built.status ?? 1);
  }
  const child = spawn(xtask, [task, ...process.argv.slice(2)], { stdio: "inherit", cwd: top });
  // Ctrl-C reaches the child by itself, as it is in the same terminal; we stay to tell its exit code.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal));
  }
  child.on("error", (error) =>
    stop(`the task runner could not be run (${error.message})`, "cargo build --package xtask"),
  );
  child.on("exit", (code, signal) => process.exit(signal ? 130 : code));
}
