/** Whether a place can be used, asked before anything is frozen for it. */
import { randomUUID } from "node:crypto";
import { createClient } from "./client.ts";
import type { Credentials } from "./credentials.ts";
import { beginMultipart } from "./multipart.ts";
import { type Patience, quickPatience } from "./patience.ts";
import { below, type Place } from "./place.ts";

export type Access = "read" | "write";

export async function checkAccess(options: {
  place: Place;
  credentials: Credentials;
  patience: Patience;
  access: Access;
  signal?: AbortSignal;
}): Promise<void> {
  const { place, credentials, access, signal } = options;
  const client = createClient({ place, credentials, patience: quickPatience(options.patience) });
  const doing = `${access === "read" ? "read from" : "write to"} ${place.url}`;
  if (access === "read") {
    const query = { "list-type": "2", prefix: below(place), "max-keys": "1" };
    await client.send({ doing, method: "GET", query, signal }, (response) => response.text());
    return;
  }
  const key = `${below(place)}.cedana-check-${randomUUID()}`;
  const upload = await beginMultipart({ client, key, doing, signal });
  await upload.abort();
}
