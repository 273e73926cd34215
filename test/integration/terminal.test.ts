/** Jobs with a terminal, and jobs in ours: keys, signals, window sizes, and a terminal left as it was. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { inspectJob, runningStatus, startInTerminal, until } from "./client.ts";
import { binary, startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const sh = (script: string) => ["sh", "-c", script];
const tty = (jid: string, ...command: string[]) => [
  "run",
  "process",
  "--tty",
  "--attach",
  "--jid",
  jid,
  "--",
  ...command,
];
/** A shell in our terminal, to see what a command leaves of it. */
const shell = (script: string) =>
  startInTerminal(daemon, [], {
    program: [
      "bash",
      "--norc",
      "-c",
      script.replaceAll("cedana", `${binary} --config-dir ${join(daemon.dir, "config")}`),
    ],
  });

test("with --tty the job has a terminal of its own, of this window's size, and is told when that changes", async () => {
  const script =
    'test -t 0 && test -t 1 && test -t 2 && stty size; trap "stty size; exit 3" WINCH; while :; do sleep 0.05; done';
  using client = startInTerminal(daemon, tty("sized", ...sh(script)), { size: { cols: 91, rows: 33 } });
  await until("the size is there", () => client.stdout().includes("33 91\r\n"));
  client.resize(120, 40);
  expect(await client.exited).toBe(3);
  await until("its last words are here", () => client.stdout().includes("40 120\r\n"));
});

test("with --tty Ctrl+C goes to the job", async () => {
  using client = startInTerminal(
    daemon,
    tty("trapped", ...sh('trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.05; done')),
  );
  await until("it is ready", () => client.stdout().includes("ready"));
  client.write("\x03");
  expect(await client.exited).toBe(5);
  await until("its last words are here", () => client.stdout().includes("caught"));
});

test("with --tty Ctrl+P Ctrl+Q detaches, a lone Ctrl+P is the job's, and bash has job control", async () => {
  using client = startInTerminal(daemon, tty("shell", "bash", "--norc", "-i"));
  await until("there is a prompt", () => client.stdout().includes("$ ") || client.stdout().includes("# "));
  client.write("echo $((40 + 2)); set -o | grep monitor\r");
  await until("it answers", () => /\n42\r/.test(client.stdout()) && /monitor\s+on/.test(client.stdout()));
  client.write("\x10\x05");
  await until("the last line is recalled", () => client.stdout().split("grep monitor").length > 2);
  client.write("\x03\x10\x11");
  expect(await client.exited).toBe(0);
  await until("its last words are here", () =>
    client.stdout().includes("detached from shell, which runs on"),
  );
  expect((await inspectJob(daemon, "shell")).status).toMatch(runningStatus);
  using again = startInTerminal(daemon, ["job", "attach", "shell"]);
  await until("the tail is there", () => again.stdout().includes("42"));
  again.write("exit 42\r");
  expect(await again.exited).toBe(42);
});

test("without --tty Ctrl+C detaches, also in a terminal", async () => {
  using client = startInTerminal(daemon, [
    "run",
    "process",
    "--attach",
    "--jid",
    "plain",
    "--",
    ...sh("echo ready; sleep 1000"),
  ]);
  await until("it is ready", () => client.stdout().includes("ready"));
  client.write("\x03");
  expect(await client.exited).toBe(0);
  await until("its last words are here", () =>
    client.stdout().includes("detached from plain, which runs on"),
  );
  expect((await inspectJob(daemon, "plain")).status).toMatch(runningStatus);
});

test("after an attach the terminal is as it was, however that ended", async () => {
  for (const [jid, end] of [
    ["ends", "exit 3"],
    ["killed", "kill -9 $$"],
  ] as const) {
    const script = `stty -a >before; cedana run process --tty --attach --jid ${jid} -- sh -c '${end}'; echo "status $?"; stty -a >after; cmp before after && echo same`;
    using client = shell(script);
    await until(
      "the terminal was compared",
      () => client.stdout().includes("same") || client.stdout().includes("differ"),
    );
    await client.exited;
    expect(client.stdout()).toContain(`status ${jid === "ends" ? 3 : 137}`);
    expect(client.stdout()).toContain("same");
  }
});

test("--no-server: the job has the shell's own terminal; Ctrl+C is the job's and its status ours", async () => {
  using client = shell(
    `cedana run process --no-server -- sh -c 'trap "echo caught; exit 7" INT; test -t 0 && echo ready; while :; do sleep 0.05; done'; echo "status $?"`,
  );
  await until("it is ready", () => client.stdout().includes("ready"));
  client.write("\x03");
  await until("it has ended", () => client.stdout().includes("status 7"));
  expect(client.stdout()).toContain("caught");
});

test("--no-server: an interactive bash works at the prompt and gives the terminal back", async () => {
  using client = shell(
    'stty -a >before; cedana run process --no-server -- bash --norc -i; echo "status $?"; stty -a >after; cmp before after && echo same',
  );
  await until("there is a prompt", () => client.stdout().includes("# "));
  client.write("sleep 1000\r");
  await until("the sleep is echoed", () => client.stdout().includes("sleep 1000"));
  client.write("\x03");
  client.write("echo $((6 * 7))\r");
  await until("bash answers", () => /\n42\r/.test(client.stdout()));
  client.write("exit 42\r");
  await until("all is said", () => client.stdout().includes("same"));
  expect(client.stdout()).toContain("status 42");
  await client.exited;
});

test("--no-server: Ctrl+Z stops the job and the command, fg continues both", async () => {
  using client = startInTerminal(daemon, [], { program: ["bash", "--norc", "-i"] });
  client.write(
    `PS1='at''prompt '; ${binary} --config-dir ${join(daemon.dir, "config")} run process --no-server --jid stops -- sh -c 'echo be''gun; read line; echo got $line; exit 8'\r`,
  );
  await until("it runs", () => client.stdout().includes("begun"));
  // Stopped before that, the command could not note its job.
  await until("it is known", async () => (await daemon.cli(["job", "inspect", "stops"])).code === 0);
  client.write("\x1a");
  await until("the prompt is back", () => /Stopped[\s\S]*atprompt /.test(client.stdout()));
  expect((await inspectJob(daemon, "stops")).status).toBe("stopped");
  client.write("fg\r");
  await until("it runs again", async () => runningStatus.test((await inspectJob(daemon, "stops")).status));
  client.write("word\r");
  await until("it has read", () => client.stdout().includes("got word"));
  client.write("echo status $?\r");
  await until("the status is ours", () => client.stdout().includes("status 8"));
  client.write("exit\r");
  await client.exited;
});
