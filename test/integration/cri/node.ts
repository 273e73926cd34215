/**
 * A Kubernetes node without Kubernetes: a real containerd on folders and a socket of its own, and the calls by which a
 * kubelet makes pods. Needs root, containerd and runc. Pods share the host's network, which needs no CNI.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArgs } from "../../../src/system/proc.ts";
import { until } from "../client.ts";
import { callsOf } from "./calls.ts";
import { makeImage } from "./image.ts";

export const image = "cedana.test/busybox:1";

export interface PodSpec {
  name: string;
  namespace: string;
  uid: string;
}

export interface Node extends AsyncDisposable {
  socket: string;
  /** runc's --root for the containers of pods. */
  runcRoot: string;
  runPod(spec: PodSpec): Promise<string>;
  /** Creates and starts a container in a pod. */
  runContainer(pod: string, name: string, command: string[]): Promise<string>;
  stopContainer(id: string): Promise<void>;
  removePod(id: string): Promise<void>;
}

function configOf(dir: string, cri: boolean): string {
  const disabled = ["btrfs", "devmapper", "zfs", "aufs"].map(
    (name) => `io.containerd.snapshotter.v1.${name}`,
  );
  if (!cri) disabled.push("io.containerd.grpc.v1.cri");
  return `version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ${JSON.stringify(disabled)}
[grpc]
  address = "${dir}/containerd.sock"
[ttrpc]
  address = "${dir}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${image}"
  disable_tcp_service = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "${dir}/runc"
`;
}

/** Starts containerd; without `cri`, as Docker's packages configure it. */
export async function startNode({ cri = true }: { cri?: boolean } = {}): Promise<Node> {
  const dir = mkdtempSync(join(tmpdir(), "cedana-cri-"));
  const socket = join(dir, "containerd.sock");
  writeFileSync(join(dir, "config.toml"), configOf(dir, cri));
  const log = openSync(join(dir, "log"), "a");
  const child = Bun.spawn(["containerd", "-c", join(dir, "config.toml")], { stdio: ["ignore", log, log] });
  await until("containerd serves", () => {
    if (child.exitCode !== null) throw new Error(readFileSync(join(dir, "log"), "utf8"));
    return existsSync(socket) && readFileSync(join(dir, "log"), "utf8").includes("successfully booted");
  });
  if (cri) await importImage(dir, socket);

  const call = callsOf(socket);
  const group = `/cedana-test-${dir.slice(-6)}`;
  const pods = new Map<string, unknown>();

  async function removePod(id: string): Promise<void> {
    await call("StopPodSandbox", { pod_sandbox_id: id });
    await call("RemovePodSandbox", { pod_sandbox_id: id });
    pods.delete(id);
  }

  return {
    socket,
    runcRoot: join(dir, "runc/k8s.io"),
    async runPod({ name, namespace, uid }) {
      const security_context = { namespace_options: { network: "NODE", pid: "CONTAINER" } };
      const labels = { "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace };
      const config = {
        metadata: { name, namespace, uid },
        labels,
        log_directory: join(dir, "logs"),
        linux: { cgroup_parent: group, security_context },
      };
      const { pod_sandbox_id: id = "" } = await call("RunPodSandbox", { config });
      pods.set(id, config);
      return id;
    },
    async runContainer(pod, name, command) {
      mkdirSync(join(dir, "logs"), { recursive: true });
      const linux = { security_context: { namespace_options: { network: "NODE", pid: "CONTAINER" } } };
      const labels = { "io.kubernetes.container.name": name };
      const config = {
        metadata: { name },
        image: { image },
        command,
        labels,
        log_path: `${name}.log`,
        linux,
      };
      const { container_id: id = "" } = await call("CreateContainer", {
        ...{ pod_sandbox_id: pod, config, sandbox_config: pods.get(pod) },
      });
      await call("StartContainer", { container_id: id });
      return id;
    },
    stopContainer: async (id) => void (await call("StopContainer", { container_id: id })),
    removePod,
    async [Symbol.asyncDispose]() {
      for (const id of pods.keys()) await removePod(id);
      await until("the shims are gone", () => !shimsOf(socket).length);
      child.kill();
      await child.exited;
      removeGroups(group);
      for (const mount of mountsBelow(dir)) await Bun.$`umount ${mount}`.quiet();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function importImage(dir: string, socket: string): Promise<void> {
  const tar = await makeImage(dir, image, ["/bin/sleep", "1000000"]);
  await Bun.$`ctr -a ${socket} -n k8s.io image import --snapshotter native ${tar}`.quiet();
}

function shimsOf(socket: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && readArgs(pid).includes(socket));
}

function mountsBelow(dir: string): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${dir}/`))
    .reverse();
}

/** containerd removes the groups of its containers, not the one above them. */
function removeGroups(group: string): void {
  for (const controller of readdirSync("/sys/fs/cgroup")) {
    for (const path of [join("/sys/fs/cgroup", controller, group), join("/sys/fs/cgroup", group)])
      if (existsSync(path)) rmdirSync(path);
  }
}
