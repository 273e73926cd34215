/** Pods and their containers, asked of a real containerd. Needs root, containerd and runc; no daemon takes part. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { listPods } from "../../src/containerd/cri.ts";
import { type Cri, connectCri } from "../../src/containerd/cri_connect.ts";
import { findContainer } from "../../src/runc/find.ts";
import { ownerOf } from "../../src/runc/owner.ts";
import { parseSpec } from "../../src/runc/spec.ts";
import { readArgs } from "../../src/system/proc.ts";
import { image, type Node, startNode } from "./cri/node.ts";

describe("a node's pods", () => {
  let node: Node;
  let cri: Cri;
  let pod: string;
  let container: string;

  beforeAll(async () => {
    expect(process.geteuid?.()).toBe(0);
    node = await startNode();
    cri = await connectCri({ address: `unix://${node.socket}` });
    pod = await node.runPod({ name: "web", namespace: "shop", uid: "uid-1" });
    container = await node.runContainer(pod, "app", ["sh", "-c", "while :; do sleep 1; done"]);
    await node.runPod({ name: "web", namespace: "other", uid: "uid-2" });
  });
  afterAll(async () => {
    cri[Symbol.dispose]();
    await node[Symbol.asyncDispose]();
  });

  test("are found by name and namespace, each with its containers", async () => {
    expect(cri).toMatchObject({ runtime: "containerd", address: node.socket });
    expect(cri.version).toMatch(/^\d+\.\d+\./);
    const found = await listPods(cri, { name: "web", namespace: "shop" });
    expect(found).toHaveLength(1);
    const [web] = found;
    expect(web).toMatchObject({
      ...{ id: pod, name: "web", namespace: "shop", uid: "uid-1", ready: true },
      labels: { "io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "shop" },
    });
    expect(readArgs(web?.pid ?? 0)).toEqual(["/bin/sleep", "1000000"]);
    expect(web?.containers).toHaveLength(1);
    expect(web?.containers[0]).toMatchObject({
      ...{ id: container, name: "app", attempt: 0, state: "running", image },
      labels: { "io.kubernetes.container.name": "app" },
    });
    expect(web?.containers[0]?.imageRef).toContain("sha256:");
    expect(Math.abs((web?.containers[0]?.createdAt ?? 0) - Date.now())).toBeLessThan(60_000);

    const names = async (filter: Parameters<typeof listPods>[1]) =>
      (await listPods(cri, filter)).map(({ namespace, name }) => `${namespace}/${name}`);
    expect(await names({})).toEqual(["other/web", "shop/web"]);
    expect(await names({ name: "web" })).toEqual(["other/web", "shop/web"]);
    expect(await names({ namespace: "other" })).toEqual(["other/web"]);
    expect(await names({ labels: { "io.kubernetes.pod.namespace": "shop" } })).toEqual(["shop/web"]);
    expect(await names({ name: "we" })).toEqual([]);
  });

  test("lead to runc's container, by id, pid and spec", async () => {
    const [app] = (await listPods(cri, { namespace: "shop" }))[0]?.containers ?? [];
    const spec = parseSpec(app?.runtimeSpec, { bundle: "/", path: "info" });
    expect(spec.process.args).toEqual(["sh", "-c", "while :; do sleep 1; done"]);
    expect(spec.annotations.get("io.kubernetes.cri.container-type")).toBe("container");
    expect(spec.annotations.get("io.kubernetes.cri.sandbox-id")).toBe(pod);
    expect(spec.namespaces.find(({ type }) => type === "ipc")?.path).toMatch(/^\/proc\/\d+\/ns\/ipc$/);
    const found = findContainer({ root: node.runcRoot, id: container.slice(0, 12) });
    expect(found).toMatchObject({ id: container, pid: app?.pid, status: "running" });
    expect(ownerOf(found.pid)?.kind).toBe("shim");
  });

  test("tell of containers that have ended, which have no pid", async () => {
    const ended = await node.runContainer(pod, "job", ["sleep", "1000"]);
    await node.stopContainer(ended);
    const [web] = await listPods(cri, { namespace: "shop" });
    expect(web?.containers.map(({ name, state }) => [name, state])).toEqual([
      ["job", "exited"],
      ["app", "running"],
    ]);
    expect(web?.containers[0]?.pid).toBe(0);
  });

  test("are not asked for by who has given up", async () => {
    await expect(listPods(cri, {}, AbortSignal.abort())).rejects.toMatchObject({ reason: "CANCELLED" });
  });
});

describe("a container runtime", () => {
  test("that is not there, or is none, is an error that names the socket", async () => {
    await expect(connectCri({ address: "/nowhere/containerd.sock" })).rejects.toMatchObject({
      reason: "RUNTIME_UNAVAILABLE",
      message: "no container runtime is running: there is no socket /nowhere/containerd.sock",
    });
    const file = `/tmp/cedana-cri-no-socket-${process.pid}`;
    writeFileSync(file, "");
    await expect(connectCri({ address: file })).rejects.toMatchObject({ reason: "RUNTIME_UNAVAILABLE" });
    await Bun.file(file).delete();
  });

  test("that serves no CRI says what to change", async () => {
    await using node = await startNode({ cri: false });
    await expect(connectCri({ address: node.socket })).rejects.toMatchObject({
      reason: "RUNTIME_UNAVAILABLE",
      message: `what listens on ${node.socket} does not serve Kubernetes' CRI v1`,
    });
  });
});
