/** Containers of runc: run, managed, dumped and restored. Needs root, runc and CRIU (npm run setup). */
import { describe, expect, test } from "bun:test";
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { listContainers } from "../../src/runc/containers.ts";
import { readMounts } from "../../src/system/mounts.ts";
import { startClient, startInTerminal, until } from "./client.ts";
import { criuOf } from "./criu.ts";
import type { Bundle, BundleParts } from "./runc/bundle.ts";
import { runcHost } from "./runc/host.ts";

const { daemon, runc } = await runcHost();

const statusOf = (id: string) =>
  listContainers(runc.root).containers.find((container) => container.id === id)?.status;

/** A detached container that counts. */
async function started(name: string, parts?: BundleParts): Promise<{ id: string; bundle: Bundle }> {
  const bundle = runc.bundle(name, parts);
  const id = runc.id(name);
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it has begun to count", () => bundle.count() > 0);
  return { id, bundle };
}

const dumped = async (...args: string[]) =>
  (await daemon.succeed("dump", ...args)).trim().split(" ").at(-1) ?? "";
const root = () => ["--root", runc.root];
const jidIn = (printed: string) => /job (\S+?),/.exec(printed)?.[1] ?? "";

const runAs = (jid: string, id: string, bundle: Bundle) => [
  ...["run", "runc", "--bundle", bundle.path, "--id", id],
  ...[...root(), "--jid", jid],
];

/** Dumps, which ends it, and restores it under another id; runc knows it, and it counts on. */
async function roundTrip(id: string, bundle: Bundle, flags: string[] = [], restoreFlags: string[] = []) {
  const path = await dumped("runc", id, ...root(), "--name", `of-${id}`, ...flags);
  expect(statusOf(id)).toBeUndefined();
  const before = bundle.count();
  const jid = jidIn(await daemon.succeed("restore", "runc", "--path", path, ...root(), ...restoreFlags));
  expect(statusOf(id)).toBe("running");
  await bundle.goesOn();
  expect(bundle.count()).toBeGreaterThan(before);
  expect(await runc.exec(["exec", id, "echo", "inside"])).toBe("inside\n");
  return { jid, path };
}

describe("a container that somebody else started", () => {
  test("is shown, becomes a job, is paused and runs on", async () => {
    const { id } = await started("shown");
    const listed = JSON.parse(await daemon.succeed("query", "runc", id, ...root(), "--format", "json"));
    expect(listed.containers).toMatchObject([{ container: { id }, status: "running", owner: "detached" }]);
    await daemon.succeed("manage", "runc", id, ...root(), "--jid", "managed");
    expect(await daemon.succeed("ps")).toMatch(/managed +runc/);
    await daemon.succeed("freeze", "job", "managed");
    expect(statusOf(id)).toBe("paused");
    await daemon.succeed("unfreeze", "runc", id, ...root());
    expect(statusOf(id)).toBe("running");
    await runc.remove(id);
  });

  test("whose state runc left half written is named, and hides no other", async () => {
    const { id } = await started("whole");
    const folder = join(daemon.dir, "two");
    cpSync(join(runc.root, id), join(folder, id), { recursive: true });
    mkdirSync(join(folder, "half"));
    writeFileSync(join(folder, "half/state.json"), '{"id": "ha');
    const { code, stdout, stderr } = await daemon.cli(["query", "runc", "--root", folder, "--quiet"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${id}\n` });
    expect(stderr).toMatch(/^warning: container half is left out: .*half.*\n$/);
    await runc.remove(id);
  });

  test.each(["none", "tar", "lz4", "lz4 --streams 2"])(
    "is dumped with %s, cleaned up, and comes back as runc's",
    async (words) => {
      const form = words.split(" ");
      const { id, bundle } = await started(`form-${form.length}${form[0]}`);
      const { jid } = await roundTrip(id, bundle, ["--compression", ...form]);
      await daemon.succeed("job", "kill", jid);
      await until("it is gone", () => statusOf(id) === undefined);
    },
  );

  test("is dumped again and again as the job that it became, and left running", async () => {
    const { id, bundle } = await started("again");
    await daemon.succeed("manage", "runc", id, ...root(), "--jid", "again");
    await dumped("job", "again", "--leave-running");
    await bundle.goesOn();
    expect(statusOf(id)).toBe("running");
    for (const _ of [1, 2]) {
      await dumped("job", "again");
      expect(statusOf(id)).toBeUndefined();
      await daemon.succeed("restore", "job", "again");
      await bundle.goesOn();
    }
    expect(await daemon.succeed("checkpoints", "again", "--quiet")).toMatch(/^(\S+\n){3}$/);
    await daemon.succeed("job", "kill", "again");
  });

  test("is killed although it is paused", async () => {
    const { id } = await started("paused");
    await daemon.succeed("manage", "runc", id, ...root(), "--jid", "paused");
    await daemon.succeed("freeze", "job", "paused");
    await daemon.succeed("job", "kill", "paused");
    await until("it has stopped", () => statusOf(id) === "stopped");
  });

  test("is waited for before it is there", async () => {
    const bundle = runc.bundle("upcoming");
    const id = runc.id("upcoming");
    const managing = daemon.succeed("manage", "runc", id, ...root(), "--upcoming", "--jid", "upcoming");
    await Bun.sleep(300);
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    expect(await managing).toContain("managing job upcoming");
    await daemon.succeed("job", "kill", "upcoming");
  });

  test("is not dumped while somebody else's process runs in it", async () => {
    const { id, bundle } = await started("exec");
    const inside = Bun.spawn(["runc", "--root", runc.root, "exec", id, "sleep", "4321"]);
    await until("it is inside", () =>
      /^sleep 4321$/m.test(Bun.spawnSync(["ps", "-e", "-o", "args"]).stdout.toString()),
    );
    expect(await daemon.refuse("dump", "runc", id, ...root())).toMatch(/process \d+ \(.+\) runs in it/);
    await bundle.goesOn();
    await runc.remove(id);
    await inside.exited;
  });

  test("that writes to a file and to pipes of the host finds others", async () => {
    const bundle = runc.bundle("stdio", {
      args: ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; echo $i >/shared/count; sleep 0.05; done"],
    });
    const id = runc.id("stdio");
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await until("it counts", () => bundle.count() > 0);
    const path = await dumped("runc", id, ...root());
    const log = join(runc.dir, "stdio.log");
    const jid = jidIn(await daemon.succeed("restore", "runc", "--path", path, ...root(), "--out", log));
    const before = bundle.count();
    await until("it is logged", () =>
      readFileSync(log, "utf8")
        .split("\n")
        .includes(String(before + 1)),
    );
    await daemon.succeed("job", "kill", jid);
  });

  test("that writes to a file of the host goes on there", async () => {
    const bundle = runc.bundle("file");
    const id = runc.id("file");
    const log = join(runc.dir, "file.log");
    const start = ["runc", "--root", runc.root, "run", "--detach", "--bundle", bundle.path, id];
    const out = openSync(log, "a");
    expect(await Bun.spawn(start, { stdio: ["ignore", out, out] }).exited).toBe(0);
    closeSync(out);
    await until("it counts", () => bundle.count() > 0);
    const { jid } = await roundTrip(id, bundle);
    const before = bundle.count();
    await until("it is there", () => readFileSync(log, "utf8").includes(`hello ${before + 1}\n`));
    expect(readFileSync(log, "utf8")).toStartWith("hello 1\nhello 2\n");
    await daemon.succeed("job", "kill", jid);
  });

  test("whose stdin and stdout are named pipes of the host comes back with others", async () => {
    const loop = "i=0; while read x; do i=$((i+1)); echo $x $i; echo $i >/shared/count; done";
    const bundle = runc.bundle("named", { args: ["sh", "-c", loop] });
    const id = runc.id("named");
    const pipes = ["named.in", "named.out"].map((name) => join(runc.dir, name));
    expect(await Bun.spawn(["mkfifo", ...pipes]).exited).toBe(0);
    const [stdin = -1, stdout = -1] = pipes.map((path) => openSync(path, "r+"));
    const start = ["runc", "--root", runc.root, "run", "--detach", "--bundle", bundle.path, id];
    expect(await Bun.spawn(start, { stdio: [stdin, stdout, "ignore"] }).exited).toBe(0);
    writeSync(stdin, "before\n");
    await until("it counts", () => bundle.count() === 1);
    const path = await dumped("runc", id, ...root());
    for (const fd of [stdin, stdout]) closeSync(fd);
    const jid = jidIn(await daemon.succeed("restore", "runc", "--path", path, ...root(), "--attachable"));
    expect(await daemon.cli(["job", "attach", jid], { stdin: "after\n" })).toMatchObject({
      code: 0,
      stdout: "after 2\n",
    });
    expect(bundle.count()).toBe(2);
  });

  test("whose stdout is a pipe to a process of its own comes back with that", async () => {
    const count = "i=0; while :; do i=$((i+1)); echo $i; echo $i >/shared/count; sleep 0.05; done";
    const bundle = runc.bundle("own-pipe", { args: ["sh", "-c", `exec > >(cat >/shared/log); ${count}`] });
    const id = runc.id("own-pipe");
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await until("it counts", () => bundle.count() > 0);
    const { jid } = await roundTrip(id, bundle);
    const before = bundle.count();
    await until("it is there", () =>
      readFileSync(join(bundle.shared, "log"), "utf8").includes(`\n${before + 1}\n`),
    );
    await daemon.succeed("job", "kill", jid);
  });

  test("in the foreground ends there, as if it had been killed", async () => {
    const bundle = runc.bundle("foreground");
    const id = runc.id("foreground");
    const child = await runc.foreground(bundle, id);
    await roundTrip(id, bundle);
    expect(await child.exited).toBe(137);
  });

  test("comes back under another id, beside the first", async () => {
    const { id, bundle } = await started("first");
    const path = await dumped("runc", id, ...root(), "--leave-running");
    const other = runc.id("second");
    await daemon.succeed("restore", "runc", "--path", path, "--id", other, ...root());
    expect([statusOf(id), statusOf(other)]).toEqual(["running", "running"]);
    await bundle.goesOn();
    expect(await daemon.refuse("restore", "runc", "--path", path, ...root())).toContain("is there already");
  });
});

describe("a job", () => {
  test("is run from a bundle, logs, and leaves nothing when it ends", async () => {
    const bundle = runc.bundle("log", { args: ["sh", "-c", "echo out; echo err >&2; exit 7"] });
    const id = runc.id("log");
    const log = join(runc.dir, "job.log");
    await daemon.succeed(...runAs("log", id, bundle), "--out", log);
    await until("it has ended", async () => / halted /.test(await daemon.succeed("ps")));
    expect(readFileSync(log, "utf8").split("\n").sort().join()).toBe(",err,out");
    await until("runc knows it no more", () => statusOf(id) === undefined);
    expect(JSON.parse(await daemon.succeed("job", "inspect", "log", "--format", "json")).exit.status).toBe(7);
  });

  test("is attached to, dumped and restored attached, with its status", async () => {
    const bundle = runc.bundle("cat", {
      args: ["sh", "-c", 'read a; echo "<$a>"; read b; echo "<$b>"; exit 3'],
    });
    const id = runc.id("cat");
    await daemon.succeed(...runAs("cat", id, bundle), "--attachable");
    await dumped("job", "cat");
    expect(statusOf(id)).toBeUndefined();
    await daemon.succeed("restore", "job", "cat");
    const attached = await daemon.cli(["job", "attach", "cat"], { stdin: "one\ntwo\n" });
    expect(attached).toMatchObject({ code: 3, stdout: "<one>\n<two>\n" });
  });

  test("with a terminal finds another one", async () => {
    const bundle = runc.bundle("tty", { args: ["sh"], terminal: true });
    const id = runc.id("tty");
    using run = startInTerminal(daemon, [...runAs("tty", id, bundle), "--attach"]);
    run.write("X=hello; tty\r");
    await until("it answers", () => run.stdout().includes("/dev/pts/0"));
    await dumped("job", "tty");
    expect(await run.exited).toBe(137);
    using again = startInTerminal(daemon, ["restore", "job", "tty", "--attach"]);
    again.write('echo "<$X>"; exit 4\r');
    await until("it is there", () => again.stdout().includes("<hello>"));
    expect(await again.exited).toBe(4);
  });
});

describe("a dump that breaks in the middle leaves the container running", () => {
  /** The CRIU that dumps it, as soon as there is one. */
  async function criuAt(id: string): Promise<number> {
    const pid = listContainers(runc.root).containers.find((container) => container.id === id)?.pid;
    let found: number | undefined;
    await until("CRIU is at work", () => {
      found = criuOf(pid ?? 0);
      return found !== undefined;
    });
    return found ?? 0;
  }

  test.each([0, 30])("CRIU is killed after %p ms", async (after) => {
    const { id, bundle } = await started(`killed-${after}`);
    const dump = daemon.cli(["dump", "runc", id, ...root(), "--name", `killed-${after}`]);
    const criu = await criuAt(id);
    await Bun.sleep(after);
    process.kill(criu, "SIGKILL");
    const { code, stderr } = await dump;
    expect(code).toBe(1);
    expect(stderr).toContain("CRIU was ended by SIGKILL; it runs on");
    await bundle.goesOn();
    expect(statusOf(id)).toBe("running");
  });

  test("CRIU is killed, and one that was paused stays so", async () => {
    const { id, bundle } = await started("killed-paused");
    await runc.exec(["pause", id]);
    const count = bundle.count();
    const dump = daemon.cli(["dump", "runc", id, ...root(), "--name", "killed-paused"]);
    const criu = await criuAt(id);
    await Bun.sleep(40);
    process.kill(criu, "SIGKILL");
    const { code, stderr } = await dump;
    expect(code).toBe(1);
    expect(stderr).toContain("CRIU was ended by SIGKILL; it stays paused");
    expect(statusOf(id)).toBe("paused");
    await runc.exec(["resume", id]);
    await bundle.goesOn();
    expect(bundle.count()).toBeGreaterThan(count);
  });

  test("the daemon is killed", async () => {
    const { id, bundle } = await started("survivor");
    const dump = daemon.cli(["dump", "runc", id, ...root(), "--name", "survivor"]);
    await criuAt(id);
    await daemon.kill9();
    expect((await dump).code).toBe(1);
    await daemon.start();
    await bundle.goesOn();
    expect(statusOf(id)).toBe("running");
    // At once, or when a CRIU that outlived the daemon has found out and ended.
    const checkpoints = join(daemon.dir, "checkpoints");
    await until("nothing is left", () => !readdirSync(checkpoints).some((name) => name.includes("survivor")));
  });
});

describe("without the daemon", () => {
  test("a container runs in the shell's foreground, and comes back there, with its status", async () => {
    const args = ["sh", "-c", 'echo first; read a; echo "<$a>"; exit 6'];
    const bundle = runc.bundle("direct", { args });
    const id = runc.id("direct");
    const place = ["--bundle", bundle.path, "--id", id, ...root()];
    const run = startClient(daemon, ["run", "runc", ...place, "--no-server"]);
    await until("it has begun", () => run.stdout() === "first\n");
    const path = await dumped("runc", id, ...root(), "--no-server", "--name", "direct");
    expect(await run.exited).toBe(137);
    const again = startClient(daemon, ["restore", "runc", "--path", path, ...root(), "--no-server"]);
    again.write("word\n");
    expect([await again.exited, again.stdout()]).toEqual([6, "<word>\n"]);
    expect(statusOf(id)).toBeUndefined();
  });

  test("with a terminal it has the shell's, relayed", async () => {
    const bundle = runc.bundle("direct-tty", { args: ["sh"], terminal: true });
    const place = ["--bundle", bundle.path, "--id", runc.id("direct-tty"), ...root()];
    using run = startInTerminal(daemon, ["run", "runc", ...place, "--no-server"]);
    run.write("stty size; exit 5\r");
    await until("it answers", () => run.stdout().includes("24 80"));
    expect(await run.exited).toBe(5);
  });
});

describe("what cannot be done is said in one line, and the container runs on", () => {
  test("no such container, and a name that is none", async () => {
    expect(await daemon.refuse("dump", "runc", "nobody", ...root())).toContain("no container nobody");
    expect(await daemon.refuse("dump", "runc", "../x", ...root())).toContain("../x");
  });

  test("a bundle that is none", async () => {
    expect(await daemon.refuse("run", "runc", "--bundle", "/nonexistent", ...root())).toContain(
      "/nonexistent",
    );
  });

  test.each(["nosuch", "/bin/nosuch"])("a bundle whose command %s is not there", async (command) => {
    const { path } = runc.bundle(`without-${command.length}`, { args: [command] });
    const id = runc.id("without");
    const said = await daemon.refuse("run", "runc", "--bundle", path, "--id", id, ...root());
    expect(said).toContain(command);
    expect(said).toContain("hint: correct process.args in the bundle's config.json");
    expect(statusOf(id)).toBeUndefined();
  });

  test("a disk that is full", async () => {
    const { id, bundle } = await started("full");
    const disk = join(runc.dir, "disk");
    mkdirSync(disk);
    await Bun.$`mount -t tmpfs -o size=64k none ${disk}`;
    try {
      expect(await daemon.refuse("dump", "runc", id, ...root(), "--dir", disk)).toContain("full");
      expect(readdirSync(disk)).toEqual([]);
    } finally {
      await Bun.$`umount ${disk}`;
    }
    await bundle.goesOn();
    expect(statusOf(id)).toBe("running");
  });

  test("a container that has stopped, and one that was not started", async () => {
    const bundle = runc.bundle("created");
    const id = runc.id("created");
    await runc.exec(["create", "--bundle", bundle.path, id]);
    expect(await daemon.refuse("dump", "runc", id, ...root())).toContain("not started yet");
    await runc.exec(["start", id]);
    await bundle.goesOn();
    await runc.exec(["kill", id, "KILL"]);
    await until("it has stopped", () => statusOf(id) === "stopped");
    expect(await daemon.refuse("dump", "runc", id, ...root())).toContain("has stopped");
  });

  test("a process's checkpoint as a container", async () => {
    await daemon.succeed("run", "process", "--jid", "plain", "--", "sleep", "1000");
    const plain = await dumped("job", "plain");
    expect(await daemon.refuse("restore", "runc", "--path", plain, ...root())).toContain("of a process");
  });
});

test.each([[undefined], ["/cedana-test-own"]])(
  "sees its own cgroups where %p is their path",
  async (path) => {
    const mount = {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: ["ro", "nosuid"],
    };
    const cgroupsPath = path && `${path}-${process.pid}`;
    const { id, bundle } = await started(`groups-${path ? "at" : "by-id"}`, { mounts: [mount], cgroupsPath });
    const groups = () =>
      readMounts(listContainers(runc.root).containers.find((each) => each.id === id)?.pid ?? 0)
        .filter(({ type }) => type.startsWith("cgroup"))
        .map(({ path, root }) => `${path} ${root}`);
    const before = groups();
    expect(before).not.toEqual([]);
    const checkpoint = await dumped("runc", id, ...root());
    await daemon.succeed("restore", "runc", "--path", checkpoint, ...root());
    await bundle.goesOn();
    expect(groups()).toEqual(before);
  },
);

describe("namespaces that are shared with a pod", () => {
  const types = ["network", "pid", "ipc", "uts", "cgroup"] as const;
  type Shared = (typeof types)[number];
  const file = (type: Shared) => (type === "network" ? "net" : type);

  /** A container that joins these namespaces of another, and has all others for itself. */
  async function inPod(name: string, shared: readonly Shared[], parts: BundleParts = {}) {
    const pod = await started(`${name}-pod`, {
      // It counts to one and holds still, as a pause container: new children would take the pids that a restore wants, and
      // orphans must be collected.
      args: ["sh", "-c", "echo 1 >/shared/count; sleep 1000 & wait"],
      namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"].map((type) => ({ type })),
    });
    const pid = listContainers(runc.root).containers.find(({ id }) => id === pod.id)?.pid ?? 0;
    const joined = shared.map((type) => ({ type, path: `/proc/${pid}/ns/${file(type)}` }));
    const own = ["pid", "network", "ipc", "uts", "mount"].filter(
      (type) => !shared.some((each) => each === type),
    );
    const namespaces = [...own.map((type) => ({ type })), ...joined];
    return { pod, ...(await started(name, { ...parts, namespaces })) };
  }

  const namespacesOf = (id: string, shared: readonly Shared[]) => {
    const pid = listContainers(runc.root).containers.find((container) => container.id === id)?.pid ?? 0;
    return shared.map((type) => readlinkSync(`/proc/${pid}/ns/${file(type)}`));
  };

  test.each([...types, types.join(" ")])("%s", async (asked) => {
    const shared = types.filter((type) => asked.split(" ").includes(type));
    const { pod, id, bundle } = await inPod(`share-${shared.length}${shared[0]}`, shared, {
      mounts: [{ destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["size=1m"] }],
    });
    expect(namespacesOf(id, shared)).toEqual(namespacesOf(pod.id, shared));
    await roundTrip(id, bundle);
    expect(namespacesOf(id, shared)).toEqual(namespacesOf(pod.id, shared));
    expect(statusOf(pod.id)).toBe("running");
    await runc.remove(id);
    await runc.remove(pod.id);
  });
});
