// Serves what a test page loads, and nothing else.

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize, sep } from "node:path";

const TYPES: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

export interface Site {
  origin: string;
  close(): Promise<void>;
}

/** Serves `root`, or the parts of it below `allowed`, and the pages given by path. */
export async function serve(
  root: string,
  options: { port?: number; allowed?: string[]; pages?: Record<string, string>; csp?: string },
): Promise<Site> {
  const server: Server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname);
    const headers: Record<string, string> = options.csp ? { "content-security-policy": options.csp } : {};
    const page = options.pages?.[path];
    if (page !== undefined) {
      response.writeHead(200, {
        ...headers,
        "content-type": TYPES[extname(path)] ?? "text/html; charset=utf-8",
      });
      response.end(page);
      return;
    }
    const file = normalize(join(root, path === "/" ? "/index.html" : path));
    const allowed = options.allowed?.map((part) => join(root, part) + sep) ?? [root + sep];
    if (!allowed.some((part) => file.startsWith(part))) {
      response.writeHead(404).end();
      return;
    }
    readFile(file).then(
      (bytes) =>
        response
          .writeHead(200, { ...headers, "content-type": TYPES[extname(file)] ?? "application/octet-stream" })
          .end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "localhost", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://localhost:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
