// Where the clusters are that a run is told of.
//
// PULSEWIRE_WORLD names the file of `cargo xtask world`. Without it PULSEWIRE_ENDPOINTS may hold, as JSON,
//   [{"name": "embedded", "witness": "pulsewire embedded broker", "url": "ws://localhost:8080", "direct": "pulsar://localhost:6650"}]
// and PULSEWIRE_PAGE_PORT the port of the origin that their gateways allow, http://localhost:<port>.

import { readFileSync } from "node:fs";
import type { Endpoint } from "./harness.js";

/** An endpoint, and where other clients reach the same cluster. */
export interface NodeEndpoint extends Endpoint {
  direct?: string;
}

/** What a run is told. */
export interface World {
  pagePort: number;
  endpoints: NodeEndpoint[];
}

export function world(): World {
  const file = process.env.PULSEWIRE_WORLD;
  if (file) return fromFile(file);
  return {
    pagePort: Number(process.env.PULSEWIRE_PAGE_PORT ?? 0),
    endpoints: JSON.parse(process.env.PULSEWIRE_ENDPOINTS ?? "[]"),
  };
}

interface WorldFile {
  page_port: number;
  endpoints: { witness: string; transport: string; url: string; kind: string }[];
}

function fromFile(file: string): World {
  const { page_port, endpoints: all } = JSON.parse(readFileSync(file, "utf8")) as WorldFile;
  // The others are made for single scenarios.
  const endpoints = all.filter(({ kind }) => kind === "usual");
  const direct = (witness: string): string | undefined =>
    endpoints.find((one) => one.transport === "tcp" && one.witness === witness)?.url;
  return {
    pagePort: page_port,
    endpoints: endpoints
      .filter(({ transport }) => transport === "ws")
      .map(({ witness, url }) => {
        const reach = direct(witness);
        const name = witness.replace(/[^\w.]+/g, "-").toLowerCase();
        return { name, witness, url, ...(reach ? { direct: reach } : {}) };
      }),
  };
}
