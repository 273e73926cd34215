/** A call of Connect's protocol: one POST by Bun's own fetch. */
import type { ClientOptions } from "./client.ts";

export interface Posted {
  /** As the proto has it. */
  method: string;
  /** "application/json", or "application/connect+json" for a stream. */
  contentType: string;
  body: string | Uint8Array<ArrayBuffer>;
  signals: AbortSignal[];
  timeoutMs?: number;
}

export function post({ address, protocol, token }: ClientOptions, call: Posted): Promise<Response> {
  const unix = protocol === "unix";
  const headers = new Headers({ "Content-Type": call.contentType, "Connect-Protocol-Version": "1" });
  if (!unix && token !== undefined) headers.set("Authorization", `Bearer ${token}`);
  const signals = [...call.signals];
  if (call.timeoutMs !== undefined) {
    signals.push(AbortSignal.timeout(call.timeoutMs));
    headers.set("Connect-Timeout-Ms", String(Math.ceil(call.timeoutMs)));
  }
  return fetch(`http://${unix ? "localhost" : address}/cedana.daemon.v1.DaemonService/${call.method}`, {
    method: "POST",
    headers,
    body: call.body,
    signal: AbortSignal.any(signals),
    unix: unix ? address : undefined,
    redirect: "error",
    // A dump may take hours, a proxy must not see the token, and a connection kept would keep the process.
    ...{ timeout: false, proxy: false, keepalive: false },
  });
}
