/** How far dumps and restores have come, told to whoever looks, and Ctrl+C that leaves nothing behind. Needs root. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import type { WatchOperationResponse } from "../../src/gen/cedana/daemon/v1/daemon_pb.ts";
import { connectDaemon } from "../../src/rpc/client.ts";
import { listDir, readArgs, readStat } from "../../src/system/proc.ts";
import { startClient, startInTerminal, until } from "./client.ts";
import { daemonService } from "./clients/grpc.ts";
import { binary, startTestDaemon, type TestDaemon } from "./daemon.ts";
import { dumpTo, holding, startVictim, type Victim } from "./victim.ts";

let daemon: TestDaemon;
let victim: Victim;
beforeAll(async () => {
  daemon = await startTestDaemon();
  victim = await startVictim(daemon, holding("memory", "300"));
});
afterAll(async () => {
  victim.kill();
  await daemon.stop();
});

const MiB = 1 << 20;
const eraseLine = "\r\x1b[K";
const dumpArgs = (name: string, ...more: string[]) => [
  "dump",
  "process",
  String(victim.pid),
  "--leave-running",
  "--compression",
  "none",
  "--name",
  name,
  ...more,
];

/** Stops the CRIU that dumps the victim, and so the dump in its middle, for as long as a test looks at it. */
const holdCriu = ({ pid }: Victim) =>
  hold((args) => args.includes("dump") && args.at(args.indexOf("-t") + 1) === String(pid));

/** The same of the one that restores. */
const holdRestore = () =>
  hold((args) => args.includes("--restore-sibling") && args.some((arg) => arg.startsWith(`${daemon.dir}/`)));

async function hold(isIt: (args: string[]) => boolean): Promise<() => void> {
  let found: number | undefined;
  for (const end = Date.now() + 30_000; found === undefined; await Bun.sleep(2)) {
    if (Date.now() > end) throw new Error("there was no CRIU to hold");
    found = listDir("/proc")
      .map(Number)
      .find((candidate) => candidate > 0 && isIt(readArgs(candidate)));
  }
  const held = found;
  process.kill(held, "SIGSTOP");
  await until("CRIU stands still", () => readStat(held)?.state === "T");
  return () => process.kill(held, "SIGCONT");
}

/** In a terminal that can do more than the tests' usual dumb one. */
const inTerminal = (args: string[], env: string[] = [], size = { cols: 100, rows: 24 }) =>
  startInTerminal(daemon, [], {
    size,
    program: ["env", "TERM=xterm", ...env, binary, "--config-dir", join(daemon.dir, "config"), ...args],
  });

describe("a terminal", () => {
  test("shows a bar while the dump goes on, and nothing of it afterwards", async () => {
    using client = inTerminal(dumpArgs("bar"));
    const goOn = await holdCriu(victim);
    await until("there is a bar", () => client.stdout().includes("dump: criu"));
    goOn();
    expect(await client.exited).toBe(0);
    await until("the result is printed", () => client.stdout().includes("dumped"));
    expect(client.stdout()).toContain("\x1b[36m");
    expect(client.stdout().split(eraseLine).at(-1)).toMatch(/^dumped .* to \S+bar\r\n$/);
  });

  test("gets no colours where nobody wants them, and no more than fits its window", async () => {
    using client = inTerminal(dumpArgs("narrow"), ["NO_COLOR=1"], { cols: 30, rows: 24 });
    const goOn = await holdCriu(victim);
    await until("there is a bar", () => client.stdout().includes("dump: criu"));
    goOn();
    expect(await client.exited).toBe(0);
    await until("the result is printed", () => client.stdout().includes("dumped"));
    const bars = client
      .stdout()
      .split(eraseLine)
      .filter((text) => text.startsWith("dump: "));
    for (const bar of bars) expect(Bun.stringWidth(bar)).toBeLessThan(30);
    expect(client.stdout()).not.toContain("\x1b[3");
  });

  test("shows one for --no-server too", async () => {
    using client = inTerminal(dumpArgs("direct", "--no-server"));
    const goOn = await holdCriu(victim);
    await until("there is a bar", () => client.stdout().includes("dump: criu"));
    goOn();
    expect(await client.exited).toBe(0);
  });
});

test("without a terminal a line comes now and then on stderr, and none with --quiet", async () => {
  const other = await startVictim(daemon, holding("memory", "100"));
  const args = ["dump", "process", String(other.pid), "--leave-running", "--name", "quiet", "--quiet"];
  const quiet = startClient(daemon, args);
  const quietGoesOn = await holdCriu(other);
  const client = startClient(daemon, dumpArgs("lines"));
  const goOn = await holdCriu(victim);
  await until("there is a line", () => client.stderr().includes("\n"));
  goOn();
  quietGoesOn();
  expect(await client.exited).toBe(0);
  expect(client.stderr()).toMatch(/^(dump: criu.*\n)+(dump: .*\n)*$/);
  expect(client.stderr()).not.toContain("\r");
  expect(await quiet.exited).toBe(0);
  expect(quiet.stderr()).toBe("");
  other.kill();
});

describe("Ctrl+C", () => {
  const again = async () => {
    const { code, stderr } = await daemon.cli(dumpArgs(`again-${crypto.randomUUID()}`));
    expect(stderr.replaceAll(/^dump: .*\n/gm, "")).toBe("");
    expect(code).toBe(0);
  };

  test.each([
    ["through the daemon", []],
    ["without one", ["--no-server"]],
  ] as const)("%s waits until the dump is undone", async (_, more) => {
    using client = inTerminal(dumpArgs("undone", ...more));
    const goOn = await holdCriu(victim);
    client.write("\x03");
    await until("it is undoing", () => client.stdout().includes("undoing the dump"));
    goOn();
    expect(await client.exited).toBe(130);
    await until("it says so", () => client.stdout().includes("everything was undone"));
    await again();
    await victim.isUntouched();
    expect((await daemon.cli(["checkpoints", "--format", "json"])).stdout).not.toContain("undone");
  });

  test.each([
    ["through the daemon", []],
    ["without one", ["--no-server"]],
  ] as const)("%s waits until the restore is undone, and the checkpoint is whole", async (_, more) => {
    const other = await startVictim(daemon, holding("memory", "100"));
    const path = await dumpTo(daemon, [
      "process",
      String(other.pid),
      "--streams",
      "2",
      "--name",
      `of-${other.pid}`,
    ]);
    using client = inTerminal(["restore", "process", "--path", path, ...more]);
    const goOn = await holdRestore();
    client.write("\x03");
    await until("it is undoing", () => client.stdout().includes("undoing the restore"));
    goOn();
    expect(await client.exited).toBe(130);
    await until("it says so", () => client.stdout().includes("everything was undone"));
    expect(readStat(other.pid)).toBeUndefined();
    await daemon.succeed("restore", "process", "--path", path);
    expect(readStat(other.pid)).toBeDefined();
    other.kill();
  });

  test("twice does not wait; the dump is undone all the same", async () => {
    const client = startClient(daemon, dumpArgs("abandoned"));
    const goOn = await holdCriu(victim);
    client.kill("SIGINT");
    await until("it is undoing", () => client.stderr().includes("undoing the dump"));
    client.kill("SIGINT");
    expect(await client.exited).toBe(130);
    goOn();
    await until("the daemon has undone it", async () => (await daemon.cli(dumpArgs("after"))).code === 0);
    expect(await Bun.file(join(daemon.dir, "checkpoints/abandoned")).exists()).toBe(false);
    await victim.isUntouched();
  });
});

describe("other clients", () => {
  const dumpWith = (client: ReturnType<typeof connectDaemon>, operation: string) =>
    client.dump({
      target: { target: { case: "pid", value: victim.pid } },
      leaveRunning: true,
      name: `watched-${operation}`,
      compression: "gzip",
      operation,
    });

  test("watch a dump from before it begins to its end", async () => {
    const client = connectDaemon({ address: daemon.socket, protocol: "unix" });
    const operation = crypto.randomUUID();
    const seen: WatchOperationResponse[] = [];
    const watching = (async () => {
      for await (const message of client.watchOperation({ operation })) seen.push(message);
    })();
    const dumping = dumpWith(client, operation);
    const goOn = await holdCriu(victim);
    await until("CRIU's bytes are told", () => seen.some(({ bytesTotal }) => bytesTotal > 0n));
    goOn();
    await dumping;
    await watching;
    const phases = [...new Set(seen.map(({ phase }) => phase))];
    expect(phases).toContainValues(["criu", "pack"]);
    const criu = seen.filter(({ phase }) => phase === "criu");
    expect(Number(criu.at(-1)?.bytesTotal)).toBeGreaterThan(300 * MiB);
    for (const { bytesDone, bytesTotal } of criu) expect(bytesDone).toBeLessThanOrEqual(bytesTotal);
    client.close();
  });

  test("watch and cancel over gRPC", async () => {
    const client = daemonService(`unix:${daemon.socket}`);
    const operation = crypto.randomUUID();
    const target = { pid: victim.pid };
    const dumping = client.unary("Dump", { target, leave_running: true, operation }).catch((error) => error);
    const goOn = await holdCriu(victim);
    const watch = client.watch("WatchOperation", { operation });
    const ended = new Promise((resolve) => watch.on("end", resolve));
    const first = await new Promise((resolve) => watch.once("data", resolve));
    expect(first).toMatchObject({ phase: "criu" });
    const cancelling = client.unary("CancelOperation", { operation });
    goOn();
    expect(await cancelling).toEqual({});
    expect(await dumping).toMatchObject({ details: "cancelled; everything was undone" });
    watch.resume();
    await ended;
    client.close();
    await victim.isUntouched();
  });

  test("watch over curl, but only their own", async () => {
    const operation = crypto.randomUUID();
    const client = connectDaemon({ address: daemon.socket, protocol: "unix" });
    const dumping = dumpWith(client, operation);
    const goOn = await holdCriu(victim);
    const json = JSON.stringify({ operation });
    const body = Buffer.concat([Buffer.from([0, 0, 0, 0, json.length]), Buffer.from(json)]);
    const url = "http://localhost/cedana.daemon.v1.DaemonService/WatchOperation";
    const headers = ["-H", "Content-Type: application/connect+json"];
    const curl = (identity: object) =>
      Bun.spawn(["curl", "-sN", "--unix-socket", daemon.socket, ...headers, "--data-binary", "@-", url], {
        stdin: body,
        stdout: "pipe",
        cwd: "/",
        ...identity,
      });
    expect(await curl({ uid: 4711, gid: 4711 }).stdout.text()).toContain("belongs to another user");
    const own = curl({}).stdout.text();
    goOn();
    await dumping;
    expect(await own).toContain('"phase":"criu"');
    client.close();
  });

  test("that never read hold nobody up", async () => {
    const operation = crypto.randomUUID();
    const client = connectDaemon({ address: daemon.socket, protocol: "unix" });
    const json = JSON.stringify({ operation });
    const deaf = connect({ path: daemon.socket }).pause();
    deaf.write(
      `POST /cedana.daemon.v1.DaemonService/WatchOperation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\nContent-Length: ${json.length + 5}\r\n\r\n`,
    );
    deaf.write(Buffer.concat([Buffer.from([0, 0, 0, 0, json.length]), Buffer.from(json)]));
    const { checkpoint } = await dumpWith(client, operation);
    expect(checkpoint?.path).toContain(operation);
    deaf.destroy();
    client.close();
  });

  test("hear when there is no such operation", async () => {
    const client = connectDaemon({ address: daemon.socket, protocol: "unix" });
    const none = Array.fromAsync(client.watchOperation({ operation: crypto.randomUUID() }));
    await expect(none).rejects.toMatchObject({ reason: "OPERATION_NOT_FOUND" });
    await expect(Array.fromAsync(client.watchOperation({ operation: "x" }))).rejects.toMatchObject({
      reason: "INVALID_ARGUMENT",
    });
    client.close();
  });
});
