/** Our driver against a real containerd and runc: what runs. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { OpenContainerd } from "../../src/containerd/connect.ts";
import {
  createContainer,
  deleteContainer,
  findContainer,
  getContainer,
  listContainers,
  type NewContainer,
  updateContainer,
} from "../../src/containerd/containers.ts";
import { type ContainerdEvent, subscribe } from "../../src/containerd/events.ts";
import { createExec, deleteExec, killExec, startExec, waitExec } from "../../src/containerd/execs.ts";
import { type Fifos, makeFifos } from "../../src/containerd/fifos.ts";
import { imageConfig } from "../../src/containerd/image_config.ts";
import { createLease } from "../../src/containerd/leases.ts";
import { type ResolvedImage, resolveImage } from "../../src/containerd/resolve_image.ts";
import { prepareSnapshot, removeSnapshot } from "../../src/containerd/snapshots.ts";
import { imageSpec, type RuntimeSpec, type SpecOptions } from "../../src/containerd/spec.ts";
import {
  closeStdin,
  createTask,
  deleteTask,
  findTask,
  killTask,
  listTasks,
  pauseTask,
  resizeTerminal,
  resumeTask,
  startTask,
  taskPids,
  waitTask,
} from "../../src/containerd/tasks.ts";
import { unpackImage } from "../../src/containerd/unpack.ts";
import { userIn } from "../../src/containerd/user.ts";
import { until } from "./client.ts";
import { failureOf } from "./containerd/failure.ts";
import { startContainerd, type TestContainerd } from "./containerd/server.ts";

const snapshotter = "overlayfs";
const [SIGTERM, SIGKILL] = [15, 9];
let server: TestContainerd;
let containerd: OpenContainerd;
let image: ResolvedImage;
let parent: string;

beforeAll(async () => {
  server = await startContainerd();
  containerd = await server.connect();
  await server.importBusybox();
  image = await resolveImage(containerd, "busybox");
  parent = await unpackImage(containerd, image, snapshotter);
});
afterAll(async () => {
  containerd?.[Symbol.dispose]();
  await server?.stop();
});

/** What came out of a task so far. */
class Output {
  readonly fd: number;
  text = "";

  constructor(path: string) {
    this.fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    outputs.push(this);
  }

  read(): string {
    const piece = Buffer.alloc(65536);
    try {
      for (let got = -1; got !== 0; ) {
        got = readSync(this.fd, piece);
        this.text += piece.toString("utf8", 0, got);
      }
    } catch {
      // Nothing more for now.
    }
    return this.text;
  }

  async says(words: string): Promise<void> {
    await until(`"${words}" is said`, () => this.read().includes(words));
  }
}

let count = 0;
let id = "";
let fifos: Fifos;
let out: Output;
let err: Output | undefined;
let outputs: Output[] = [];

beforeEach(() => {
  id = `test-${++count}`;
});

afterEach(async () => {
  const task = await findTask(containerd, id);
  if (task?.status === "paused") await resumeTask(containerd, id);
  if (task !== undefined) {
    await killTask(containerd, id, { signal: SIGKILL, all: true });
    await waitTask(containerd, id);
    await deleteTask(containerd, id);
  }
  await deleteContainer(containerd, id);
  await removeSnapshot(containerd, { snapshotter, key: id });
  for (const { fd } of outputs) closeSync(fd);
  outputs = [];
  fifos?.[Symbol.dispose]();
});

type Options = Partial<SpecOptions> & Partial<Pick<NewContainer, "labels">> & { userName?: string };

/** A container of the image and its task, not started. */
async function create(args: string[], { labels, userName = "", ...options }: Options = {}): Promise<number> {
  await using lease = await createLease(containerd);
  const rootfs = await prepareSnapshot(lease.containerd, { snapshotter, key: id, parent });
  const user = userIn(rootfs, userName);
  const spec = imageSpec(imageConfig(image.configJson), {
    id,
    namespace: server.namespace,
    args,
    user,
    ...options,
  });
  const runcOptions = { root: server.runcRoot };
  await createContainer(lease.containerd, {
    id,
    spec,
    image: image.name,
    labels,
    runcOptions,
    snapshotter,
    snapshotKey: id,
  });
  const terminal = options.terminal ?? false;
  fifos = makeFifos(join(server.dir, "fifos"), id, { terminal });
  out = new Output(fifos.stdout);
  err = terminal ? undefined : new Output(fifos.stderr);
  return createTask(containerd, { id, rootfs, stdio: fifos });
}

async function run(args: string[], options?: Options): Promise<number> {
  await create(args, options);
  return startTask(containerd, id);
}

const sh = (script: string) => ["sh", "-c", script];

describe("a task", () => {
  test("runs a command of the image, with its output and exit status", async () => {
    const before = Date.now();
    await run(sh("echo out; echo err >&2; pwd; cat upper; exit 7"));
    const exit = await waitTask(containerd, id);
    expect(exit.status).toBe(7);
    expect(Number(exit.at)).toBeWithin(before - 1000, Date.now() + 1000);
    expect(out.read()).toBe("out\n/srv\nupper\n");
    expect(err?.read()).toBe("err\n");
    expect(await findTask(containerd, id)).toMatchObject({ status: "stopped", exit: { status: 7 } });
    expect((await deleteTask(containerd, id))?.status).toBe(7);
    expect(await deleteTask(containerd, id)).toBeUndefined();
    expect(await findTask(containerd, id)).toBeUndefined();
  });

  test("is created, started, listed and killed", async () => {
    const pid = await create(sh("sleep 1000 & sleep 1000"));
    expect(await findTask(containerd, id)).toMatchObject({ id, pid, status: "created" });
    expect(await startTask(containerd, id)).toBe(pid);
    await until("it has a child", async () => (await taskPids(containerd, id)).length > 1);
    const { stdin, stdout, stderr } = fifos;
    expect(await listTasks(containerd)).toEqual([
      { id, pid, status: "running", stdio: { stdin, stdout, stderr, terminal: false } },
    ]);
    expect((await taskPids(containerd, id)).includes(pid)).toBe(true);
    // The first process of a pid namespace takes only signals that it asked for.
    expect(await killTask(containerd, id, { signal: SIGTERM })).toBe(true);
    expect(await killTask(containerd, id, { signal: SIGKILL, all: true })).toBe(true);
    expect((await waitTask(containerd, id)).status).toBe(128 + SIGKILL);
    expect(await killTask(containerd, id, { signal: SIGKILL })).toBe(false);
  });

  test("reads its input to the end", async () => {
    await run(["cat"]);
    const fd = openSync(fifos.stdin, constants.O_WRONLY | constants.O_NONBLOCK);
    writeSync(fd, "hello\n");
    await out.says("hello");
    closeSync(fd);
    await closeStdin(containerd, id);
    expect((await waitTask(containerd, id)).status).toBe(0);
  });

  test("has a terminal, of the size it is told", async () => {
    await run(sh("trap 'stty size' WINCH; tty; echo $TERM; echo err >&2; while :; do sleep 0.1; done"), {
      terminal: true,
    });
    await out.says("err");
    expect(out.text).toBe("/dev/pts/0\r\nxterm\r\nerr\r\n");
    await resizeTerminal(containerd, id, { rows: 33, columns: 111 });
    await out.says("33 111");
  });

  test("is paused and resumed", async () => {
    await run(sh("while :; do sleep 0.05; echo tick; done"));
    await out.says("tick");
    await pauseTask(containerd, id);
    expect((await findTask(containerd, id))?.status).toBe("paused");
    const ticks = out.read().length;
    await Bun.sleep(300);
    expect(out.read()).toHaveLength(ticks);
    await resumeTask(containerd, id);
    await until("it goes on", () => out.read().length > ticks);
  });

  test("that does not start tells why", async () => {
    const { reason, message } = await failureOf(create(["/no/such/program"]));
    expect(reason).toBe("RUNTIME_FAILED");
    expect(message).toStartWith(`cannot create a task of the container ${id}: `);
    expect(message).toEndWith("no such file or directory");
  });

  test("that is not there is told", async () => {
    for (const call of [startTask, pauseTask, resumeTask, waitTask, taskPids]) {
      expect(await failureOf(call(containerd, id))).toMatchObject({
        reason: "CONTAINER_NOT_FOUND",
        hint: `see which run: ctr --namespace ${server.namespace} tasks ls`,
      });
    }
    expect(await killTask(containerd, id, { signal: SIGKILL })).toBe(false);
  });

  test("can be waited for by somebody who gives up", async () => {
    await run(["sleep", "1000"]);
    const signal = AbortSignal.timeout(100);
    expect((await failureOf(waitTask(containerd, id, { signal }))).reason).toBe("CANCELLED");
  });
});

describe("a container", () => {
  test("is created once, told, changed and deleted", async () => {
    await create(["sleep", "1000"], { labels: { one: "1" } });
    const container = await getContainer(containerd, id);
    expect(container).toMatchObject({
      id,
      image: image.name,
      labels: { one: "1" },
      runtime: "io.containerd.runc.v2",
      snapshotter,
      snapshotKey: id,
      spec: { process: { args: ["sleep", "1000"] } },
    });
    expect(container.runcOptions).toMatchObject({ root: server.runcRoot });
    const again = await failureOf(createContainer(containerd, { id, spec: {} }));
    expect(again).toMatchObject({ reason: "CONTAINER_EXISTS", hint: "choose another with --id" });

    const spec = { ...container.spec, hostname: "changed" };
    const changed = await updateContainer(containerd, { id, labels: { two: "2" }, spec });
    expect(changed).toMatchObject({ labels: { one: "1", two: "2" }, spec, image: image.name });
    expect((await listContainers(containerd)).map((each) => each.id)).toEqual([id]);
    expect(await listContainers(containerd, ["labels.two==2"])).toEqual([changed]);
    expect(await listContainers(containerd, ["labels.two==3"])).toEqual([]);

    await killTask(containerd, id, { signal: SIGKILL });
    await waitTask(containerd, id);
    await deleteTask(containerd, id);
    await deleteContainer(containerd, id);
    await deleteContainer(containerd, id);
    expect(await findContainer(containerd, id)).toBeUndefined();
    expect((await failureOf(getContainer(containerd, id))).reason).toBe("CONTAINER_NOT_FOUND");
  });

  test("runs as the image's user and groups", async () => {
    await run(["id"], { userName: "web" });
    await waitTask(containerd, id);
    expect(out.read()).toBe("uid=1000(web) gid=1000(web) groups=1000(web),1500(logs)\n");
  });

  test("has the host's network, and a namespace that it is told to join", async () => {
    const links = (kind: string) => `readlink /proc/self/ns/${kind}`;
    await run(sh(`busybox ${links("net")}; busybox ${links("uts")}`), {
      hostNetwork: true,
      namespaces: { uts: "/proc/self/ns/uts" },
    });
    await waitTask(containerd, id);
    expect(err?.read()).toBe("");
    const own = Bun.spawnSync(["readlink", "/proc/self/ns/net", "/proc/self/ns/uts"]).stdout.toString();
    expect(out.read()).toBe(own);
  });

  test("runs further processes", async () => {
    await run(["sleep", "1000"]);
    const { spec } = await getContainer(containerd, id);
    const further = { ...processOf(spec), args: sh("echo further $FROM; exit 3") };
    using pipes = makeFifos(join(server.dir, "fifos"), `${id}-exec`, { terminal: false });
    const said = new Output(pipes.stdout);
    const _ = new Output(pipes.stderr);
    const key = { id, execId: "exec-1" };
    await createExec(containerd, { ...key, process: further, stdio: pipes });
    expect(await startExec(containerd, key)).toBeGreaterThan(1);
    expect((await waitExec(containerd, key)).status).toBe(3);
    await said.says("further image");
    expect((await deleteExec(containerd, key))?.status).toBe(3);
    expect(await deleteExec(containerd, key)).toBeUndefined();

    const other = { id, execId: "exec-2" };
    await createExec(containerd, { ...other, process: { ...further, args: ["sleep", "1000"] } });
    await startExec(containerd, other);
    expect(await killExec(containerd, { ...other, signal: SIGKILL })).toBe(true);
    expect((await waitExec(containerd, other)).status).toBe(128 + SIGKILL);
    await deleteExec(containerd, other);
  });
});

function processOf(spec: Record<string, unknown>): Partial<RuntimeSpec["process"]> {
  return typeof spec.process === "object" && spec.process !== null ? spec.process : {};
}

test("events tell of a container's life, and end when nobody wants them", async () => {
  const ending = new AbortController();
  const events: ContainerdEvent[] = [];
  const followed = (async () => {
    for await (const event of subscribe(containerd, { signal: ending.signal })) events.push(event);
  })();
  await Bun.sleep(200); // containerd does not tell when it listens
  const pid = await run(sh("exit 5"));
  await waitTask(containerd, id);
  await deleteTask(containerd, id);
  await until("all is told", () => events.some(({ topic }) => topic === "/tasks/delete"));
  ending.abort();
  await followed;
  const common = { namespace: server.namespace, containerId: id, at: expect.any(Date) };
  expect(events).toEqual([
    { ...common, topic: "/containers/create", image: image.name },
    { ...common, topic: "/tasks/create", pid },
    { ...common, topic: "/tasks/start", pid },
    { ...common, topic: "/tasks/exit", processId: id, pid, exitStatus: 5 },
    { ...common, topic: "/tasks/delete", processId: id, pid, exitStatus: 5 },
  ]);
});

test("a restart of containerd ends what was being followed, and the same connection then goes on", async () => {
  const pid = await run(sh("while :; do sleep 0.05; echo tick; done"));
  const followed = failureOf(Array.fromAsync(subscribe(containerd)));
  const waited = failureOf(waitTask(containerd, id));
  await Bun.sleep(100);
  await server.restart();
  for (const failed of [await followed, await waited]) {
    expect(failed).toMatchObject({
      reason: "RUNTIME_UNAVAILABLE",
      message: `the connection to containerd on ${server.address} was lost in the middle of the call`,
    });
  }
  expect(await findTask(containerd, id)).toMatchObject({ pid, status: "running" });
});

test("the service that Kubernetes uses is there when it is asked for", async () => {
  const other = await startContainerd({ cri: true });
  try {
    const plugins = await other.ctr("plugins", "ls");
    expect(plugins).toMatch(/io\.containerd\.grpc\.v1 +cri +linux\S* +ok/);
  } finally {
    await other.stop();
  }
});

test("a server that is stopped leaves nothing behind, even of what still runs", async () => {
  const other = await startContainerd();
  await other.importBusybox();
  using connection = await other.connect();
  const its = await resolveImage(connection, "busybox");
  const chain = await unpackImage(connection, its, snapshotter);
  // What nothing refers to yet is containerd's to collect, at any time.
  const lease = await createLease(connection);
  const rootfs = await prepareSnapshot(lease.containerd, { snapshotter, key: "left", parent: chain });
  const spec = imageSpec(imageConfig(its.configJson), {
    id: "left",
    namespace: other.namespace,
    args: ["sleep", "1000"],
  });
  const runcOptions = { root: other.runcRoot };
  await createContainer(lease.containerd, {
    id: "left",
    spec,
    runcOptions,
    snapshotter,
    snapshotKey: "left",
  });
  const pid = await createTask(connection, { id: "left", rootfs });
  await startTask(connection, "left");
  await pauseTask(connection, "left");
  await lease[Symbol.asyncDispose]();
  await other.stop();

  expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect(existsSync(other.dir)).toBe(false);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(other.dir);
  const cgroups = ["", ...readdirSync("/sys/fs/cgroup")].map((name) =>
    join("/sys/fs/cgroup", name, other.namespace),
  );
  expect(cgroups.filter((path) => existsSync(path))).toEqual([]);
  const running = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(commandLine);
  expect(running.filter((line) => line.includes(other.dir))).toEqual([]);
});

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
