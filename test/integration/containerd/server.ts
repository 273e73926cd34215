/**
 * A real containerd of the test's own: socket, root, state and namespace are its alone, and runc's state is under its
 * folder. It ends with the test, however that ends; `stop` leaves nothing of it and of what ran in it behind.
 *
 * Debian's own packages: containerd, runc, busybox-static.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectContainerd, type OpenContainerd } from "../../../src/containerd/connect.ts";
import { createImage } from "../../../src/containerd/images.ts";
import { createLease } from "../../../src/containerd/leases.ts";
import { writeBlob } from "../../../src/containerd/write_blob.ts";
import { busyboxImage } from "./busybox.ts";
import { clear, sweep } from "./clear.ts";

export interface TestContainerd {
  /** Everything of it is in here. */
  dir: string;
  /** The socket's path. */
  address: string;
  /** One that no other test uses. */
  namespace: string;
  /** For containers of the test: their runc state is under `dir`. */
  runcRoot: string;
  connect(namespace?: string): Promise<OpenContainerd>;
  /** "docker.io/library/busybox:latest" unless named; `cmd` and `user` are the image's. */
  importBusybox(options?: {
    name?: string;
    namespace?: string;
    cmd?: string[];
    user?: string;
  }): Promise<string>;
  /** Kills containerd and starts it again on what it left; what runs in it goes on. `meanwhile` it is down. */
  restart(meanwhile?: () => Promise<void>): Promise<void>;
  /** containerd's own client; its stdout. Throws when it fails. */
  ctr(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

export interface ContainerdOptions {
  /** With the service that Kubernetes uses; its pods' pause image is docker.io/library/pause:latest. */
  cri?: boolean;
  /** In place of the test's own: where its shims find runc, and that CRIU. */
  path?: string;
}

export async function startContainerd({
  cri = false,
  path,
}: ContainerdOptions = {}): Promise<TestContainerd> {
  const dir = mkdtempSync(join(tmpdir(), "cedana-containerd-"));
  const address = join(dir, "containerd.sock");
  const namespace = `cedana-test-${crypto.randomUUID().slice(0, 8)}`;
  const runcRoot = join(dir, "runc");
  const [config, log] = [join(dir, "config.toml"), join(dir, "containerd.log")];
  mkdirSync(join(dir, "cni"));
  writeFileSync(config, configuration({ dir, address, cri }));
  const command = ["setpriv", "--pdeathsig", "KILL", "containerd", "--config", config];
  const output = Bun.file(log);
  const env = { ...process.env, ...(path !== undefined && { PATH: path }) };
  const start = () => Bun.spawn(command, { env, stdin: "ignore", stdout: output, stderr: output });
  let server = start();
  const connect = (name = namespace) => connectContainerd({ address, namespace: name });
  const stop = async () => {
    if (server.exitCode === null) await clear(connect).catch((error) => console.error(error));
    server.kill("SIGTERM");
    const late = setTimeout(() => server.kill("SIGKILL"), 10_000);
    await server.exited;
    clearTimeout(late);
    await sweep({ dir, address });
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await answering(connect, () => server.exitCode !== null);
  } catch (error) {
    const said = readFileSync(log, "utf8").slice(-2000);
    await stop();
    throw new Error(`no containerd: ${error instanceof Error ? error.message : error}\n${said}`);
  }
  return {
    dir,
    address,
    namespace,
    runcRoot,
    connect,
    stop,
    async restart(meanwhile) {
      server.kill("SIGKILL");
      await server.exited;
      await meanwhile?.();
      server = start();
      await answering(connect, () => server.exitCode !== null);
    },
    async importBusybox({ name = "docker.io/library/busybox:latest", namespace: into, ...options } = {}) {
      using containerd = await connect(into);
      await using lease = await createLease(containerd);
      const { index, blobs } = busyboxImage(options);
      for (const { descriptor, bytes, references } of blobs) {
        const labels = references.map(({ digest }, at) => [`containerd.io/gc.ref.content.${at}`, digest]);
        const { mediaType } = descriptor;
        await writeBlob(lease.containerd, { mediaType, data: bytes, labels: Object.fromEntries(labels) });
      }
      await createImage(lease.containerd, { name, target: index });
      return name;
    },
    async ctr(...args) {
      const child = Bun.spawn(["ctr", "--address", address, "--namespace", namespace, ...args], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, said] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      if ((await child.exited) !== 0) throw new Error(`ctr ${args.join(" ")}: ${said}`);
      return out;
    },
  };
}

/** What needs devices or kernels that a test has not; `opt` would make /opt/containerd. */
const unused = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
];

function configuration(options: { dir: string; address: string; cri: boolean }): string {
  const { dir, address, cri } = options;
  const disabled = cri ? unused : [...unused, "io.containerd.grpc.v1.cri"];
  const forCri = `
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:latest"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${dir}/cni"
conf_dir = "${dir}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "${dir}/runc"
`;
  return `version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ${JSON.stringify(disabled)}
[grpc]
address = "${address}"
[ttrpc]
address = "${dir}/ttrpc.sock"
${cri ? forCri : ""}`;
}

async function answering(connect: () => Promise<OpenContainerd>, ended: () => boolean): Promise<void> {
  for (;;) {
    if (ended()) throw new Error("it ended");
    try {
      using _ = await connect();
      return;
    } catch {
      await Bun.sleep(20);
    }
  }
}
