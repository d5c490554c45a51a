import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

/** All that the built page may do. Vite's development server needs more, so it is not in index.html. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self' ws: wss:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const policy: Plugin = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    {
      tag: "meta",
      attrs: { "http-equiv": "Content-Security-Policy", content: POLICY },
      injectTo: "head-prepend",
    },
  ],
};

export default defineConfig({
  // Relative, so that the console can be served below any path.
  base: "./",
  plugins: [policy],
  build: { target: "es2022", modulePreload: { polyfill: false } },
  resolve: {
    alias: process.env.PULSEWIRE_FAKE
      ? { pulsewire: fileURLToPath(new URL("dev/fake-pulsewire.ts", import.meta.url)) }
      : {},
  },
});
