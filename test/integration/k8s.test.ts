/** A node's pods through the binary, and containers that the CRI made: dumped and restored. Needs root, containerd and runc. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "./client.ts";
import { type Node, startNode } from "./cri/node.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
let node: Node;
let pod: string;
let app: string;
beforeAll(async () => {
  node = await startNode();
  daemon = await startTestDaemon();
  pod = await node.runPod({ name: "web", namespace: "shop", uid: "uid-1" });
  const counts = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done";
  app = await node.runContainer(pod, "app", ["sh", "-c", counts]);
  await node.runPod({ name: "db", namespace: "other", uid: "uid-2" });
}, 60_000);
afterAll(async () => {
  await daemon?.stop();
  await node?.[Symbol.asyncDispose]();
});

const at = () => ["--address", node.socket];

test("pods are shown by name, namespace and label, with their containers and processes", async () => {
  const table = await daemon.succeed("query", "k8s", ...at());
  expect(table).toMatch(/^NAMESPACE +POD +CONTAINER +ID +PID +STATUS +IMAGE\n/);
  expect(table).toMatch(new RegExp(`shop +web +app +${app} +\\d+ +running`));
  expect(table).toMatch(/other +db/);
  const named = JSON.parse(
    await daemon.succeed("query", "k8s", "web", "--namespace", "shop", ...at(), "--format", "json"),
  );
  expect(named.pods).toMatchObject([{ id: pod, ready: true, containers: [{ id: app, status: "running" }] }]);
  const label = ["--label", "io.kubernetes.pod.namespace=other"];
  expect(await daemon.succeed("query", "k8s", ...label, ...at())).not.toContain("web");
  expect(await daemon.succeed("query", "k8s", ...at(), "--quiet")).toBe(`${app}\n`);
  expect(await daemon.succeed("query", "k8s", "web", ...at(), "--tree")).toContain("sleep 0.05");
});

test("a pod that is not there, and a runtime that is not there, are told", async () => {
  const { code, stderr } = await daemon.cli(["query", "k8s", "nosuch", "--namespace", "shop", ...at()]);
  expect([code, stderr]).toEqual([
    1,
    "error: there is no pod nosuch in namespace shop on this host\nhint: see which there are: cedana query k8s\n",
  ]);
  const nowhere = await daemon.cli(["query", "k8s", "--address", "/nonexistent"]);
  expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringContaining("/nonexistent")]);
});

test("a container that the CRI made is dumped, and restored in its pod", async () => {
  const place = [...at(), "--namespace", "k8s.io"];
  const kept = await daemon.succeed(
    "dump",
    "containerd",
    app.slice(0, 12),
    ...place,
    "--leave-running",
    "--quiet",
  );
  expect(kept).toContain("/dump-containerd-");
  const path = (await daemon.succeed("dump", "containerd", app, ...place, "--quiet")).trim();
  const state = async () =>
    JSON.parse(await daemon.succeed("query", "k8s", "web", ...at(), "--format", "json")).pods[0];
  await until("the CRI has seen its end", async () => (await state()).containers[0].status === "exited");
  const printed = await daemon.succeed("restore", "containerd", "--path", path, ...place);
  const jid = /job (\S+?),/.exec(printed)?.[1] ?? "";
  const queried = JSON.parse(await daemon.succeed("query", "containerd", app, ...place, "--format", "json"));
  const [container] = queried.containers;
  expect(container).toMatchObject({ status: "running", jid });
  // In the pod's own namespaces.
  const ipc = async (pid: number) => (await Bun.$`readlink /proc/${pid}/ns/ipc`.text()).trim();
  expect(await ipc(container.pid)).toBe(await ipc((await state()).pid));
  const count = async () => Number(await Bun.file(`/proc/${container.pid}/root/count`).text());
  const before = await count();
  await until("it counts on", async () => (await count()) > before);
  await daemon.succeed("job", "kill", jid);
});
