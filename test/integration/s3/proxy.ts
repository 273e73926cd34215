/**
 * A TCP proxy in front of a server, whose faults a test switches on and off. It passes bytes on as they are; only to
 * count requests, and to answer one itself, it reads where each begins and how long its body is.
 */
import { createServer, connect as dial, type Socket } from "node:net";

export type Fault =
  /**
   * The request, or its answer, passes for `after` bytes (head included). Then the connection is reset, ended, or held
   * open in silence.
   */
  | { cut: "request" | "answer"; after: number; ending: "reset" | "end" | "hang" }
  /** An answer of the proxy's own; the server sees nothing. */
  | { status: number; code: string; headers?: Record<string, string> };

/** The server never sees the request, and nobody says so. */
export const hang: Fault = { cut: "request", after: 0, ending: "hang" };
export const reset: Fault = { cut: "request", after: 0, ending: "reset" };
/** The server does what it was asked, but nobody hears of it. */
export const loseAnswer: Fault = { cut: "answer", after: 0, ending: "reset" };

export interface FaultProxy {
  /** "http://127.0.0.1:PORT" */
  endpoint: string;
  /** First lines of the requests seen: "PUT /bucket/key?partNumber=1&uploadId=x HTTP/1.1". */
  readonly requests: string[];
  /** The next `times` requests (1; Infinity: all) whose first line matches (all) meet `fault`, after `skip` (0). */
  inject(fault: Fault, options?: { matches?: RegExp; skip?: number; times?: number }): void;
  /** Bytes a second in each direction of each connection; undefined: as fast as it goes. */
  throttle(bytesPerSecond: number | undefined): void;
  /** Resolves once `count` requests have met a fault. */
  met(count?: number): Promise<void>;
  /** Resolves once a request whose first line matches has begun, after this call. */
  seen(matches: RegExp): Promise<void>;
  /** Nothing that was injected happens any more, what met it is forgotten, and connections that hang are reset. */
  heal(): void;
  stop(): Promise<void>;
}

interface Rule {
  fault: Fault;
  matches: RegExp;
  skip: number;
  left: number;
}

export async function startProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const rules: Rule[] = [];
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const waiting: { count: number; resolve: () => void }[] = [];
  const watching: { matches: RegExp; resolve: () => void }[] = [];
  let faults = 0;
  let rate: number | undefined;

  const choose = (line: string): Fault | undefined => {
    requests.push(line);
    for (const each of watching) if (each.matches.test(line)) each.resolve();
    const rule = rules.find((each) => each.left > 0 && each.matches.test(line) && each.skip-- <= 0);
    if (rule === undefined) return undefined;
    rule.left--;
    faults++;
    for (const each of waiting) if (faults >= each.count) each.resolve();
    return rule.fault;
  };

  const server = createServer((client) => {
    const upstream = dial(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {}); // resets are what this is for; "close" follows
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    relay({ client, upstream, choose, pace: (bytes) => (rate === undefined ? 0 : (bytes / rate) * 1000) });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  const own = address !== null && typeof address === "object" ? address.port : 0;
  return {
    endpoint: `http://127.0.0.1:${own}`,
    requests,
    inject(fault, { matches = /^/, skip = 0, times = 1 } = {}) {
      rules.push({ fault, matches, skip, left: times });
    },
    throttle(bytesPerSecond) {
      rate = bytesPerSecond;
    },
    met: (count = 1) =>
      faults >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve })),
    seen: (matches) => new Promise((resolve) => watching.push({ matches, resolve })),
    heal() {
      rules.length = 0;
      faults = 0;
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async stop() {
      const closed = new Promise<void>((done) => server.close(() => done()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface Relay {
  client: Socket;
  upstream: Socket;
  choose: (line: string) => Fault | undefined;
  /** Milliseconds to rest after so many bytes. */
  pace: (bytes: number) => number;
}

function relay({ client, upstream, choose, pace }: Relay): void {
  let head = Buffer.alloc(0);
  let body = 0; // bytes of the current request that are still to come
  let fault: Fault | undefined;
  let passed = { request: 0, answer: 0 };

  /** Passes bytes on, as many as the fault lets. */
  const pass = (side: "request" | "answer", bytes: Buffer) => {
    const [from, to] = side === "request" ? [client, upstream] : [upstream, client];
    const cut = fault !== undefined && "cut" in fault && fault.cut === side ? fault : undefined;
    const room =
      cut === undefined ? bytes.length : Math.max(0, Math.min(cut.after - passed[side], bytes.length));
    passed[side] += bytes.length;
    const flowing = room === 0 || to.write(bytes.subarray(0, room));
    if (cut !== undefined && passed[side] > cut.after) return breakOff({ client, upstream, how: cut.ending });
    const rest = pace(bytes.length);
    if (!flowing || rest > 0) from.pause();
    const resume = () => setTimeout(() => from.resume(), rest);
    if (!flowing) to.once("drain", resume);
    else if (rest > 0) resume();
  };

  const request = (bytes: Buffer) => {
    if (body > 0) {
      const now = bytes.subarray(0, body);
      body -= now.length;
      if (fault === undefined || "cut" in fault) pass("request", now);
      else if (body === 0) client.write(answerOf(fault));
      return;
    }
    head = Buffer.concat([head, bytes]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const text = head.subarray(0, end).toString("latin1");
    const whole = head;
    head = Buffer.alloc(0);
    body = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0) - (whole.length - end - 4);
    passed = { request: 0, answer: 0 };
    fault = choose(text.split("\r\n", 1)[0] ?? "");
    if (fault === undefined || "cut" in fault) pass("request", whole);
    else if (body === 0) client.write(answerOf(fault));
  };

  client.on("data", request);
  upstream.on("data", (bytes: Buffer) => pass("answer", bytes));
}

function breakOff({ client, upstream, how }: { client: Socket; upstream: Socket; how: string }): void {
  client.pause();
  upstream.pause();
  client.removeAllListeners("data");
  upstream.removeAllListeners("data");
  if (how === "hang") return;
  upstream.destroy();
  if (how === "reset") client.resetAndDestroy();
  else client.end();
}

function answerOf(fault: Exclude<Fault, { cut: string }>): string {
  const { status, code, headers = {} } = fault;
  const xml = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>said the proxy</Message></Error>`;
  const lines = Object.entries({ "Content-Type": "application/xml", ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return `HTTP/1.1 ${status} ${code}\r\nContent-Length: ${xml.length}\r\n${lines.join("")}\r\n${xml}`;
}
