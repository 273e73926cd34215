/** Containers of containerd's: run, managed, dumped and restored. Needs root, containerd, runc and CRIU (npm run setup). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startClient, startInTerminal, until } from "./client.ts";
import { startContainerd, type TestContainerd } from "./containerd/server.ts";
import { criuOf } from "./criu.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
let server: TestContainerd;
beforeAll(async () => {
  server = await startContainerd();
  await server.importBusybox();
  daemon = await startTestDaemon();
}, 60_000);
afterAll(async () => {
  await daemon?.stop();
  await server?.stop();
  rmSync(join("/run/containerd/runc", server.namespace), { recursive: true, force: true });
});

const image = "docker.io/library/busybox:latest";
/** Counts in its own file system, and says so. */
const counts = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i > /count; echo at $i; sleep 0.05; done"];
const place = () => ["--address", server.address, "--namespace", server.namespace];

const dumped = async (...args: string[]) =>
  (await daemon.succeed("dump", ...args)).trim().split(" ").at(-1) ?? "";
const jidIn = (printed: string) => /job (\S+?),/.exec(printed)?.[1] ?? "";
const run = (jid: string, ...more: string[]) =>
  daemon.succeed("run", "containerd", image, ...place(), "--jid", jid, ...more, "--", ...counts);

/** What `ctr task ls` says of it. */
async function taskOf(id: string): Promise<string | undefined> {
  const line = (await server.ctr("task", "ls")).split("\n").find((each) => each.startsWith(`${id} `));
  return line?.trim().split(/ +/).at(-1);
}

const containers = async () => (await server.ctr("containers", "ls", "-q")).split("\n").filter(Boolean);

let execs = 0;
async function count(id: string): Promise<number> {
  const look = "cat /count 2>/dev/null || echo 0";
  return Number(await server.ctr("task", "exec", "--exec-id", `look-${++execs}`, id, "sh", "-c", look));
}

async function goesOn(id: string): Promise<void> {
  await until(`${id} counts`, async () => (await count(id)) > 0);
  const before = await count(id);
  await until(`${id} counts beyond ${before}`, async () => (await count(id)) > before);
}

/** A task that `ctr` started. */
async function started(id: string): Promise<string> {
  await server.ctr("run", "-d", "--runc-root", server.runcRoot, image, id, ...counts);
  await goesOn(id);
  return id;
}

async function removed(id: string): Promise<void> {
  await server.ctr("task", "rm", "-f", id).catch(() => {});
  await server.ctr("containers", "rm", id);
}

describe("a job of our own", () => {
  test("runs the image's command with its environment, and exits with its status", async () => {
    const script = 'cat; echo "$MODE in $PWD"; echo err >&2; exit 7';
    const client = startClient(daemon, [
      ...["run", "containerd", "busybox", ...place(), "--env", "MODE=fast", "--cwd", "/tmp", "--attach"],
      ...["--", "sh", "-c", script],
    ]);
    client.write("typed\n");
    client.end();
    expect(await client.exited).toBe(7);
    expect([client.stdout(), client.stderr()]).toEqual(["typed\nfast in /tmp\n", "err\n"]);
    await until("nothing is left of it", async () => (await containers()).length === 0);
  });

  test("has a terminal of the size of its client's", async () => {
    const flags = ["run", "containerd", image, ...place(), "--tty", "--attach"];
    using terminal = startInTerminal(daemon, [...flags, "--", "sh"], { size: { cols: 77, rows: 33 } });
    await until("there is a prompt", () => terminal.stdout().includes("# "));
    terminal.write("stty size; exit 3\n");
    expect(await terminal.exited).toBe(3);
    expect(terminal.stdout()).toContain("33 77");
  });

  test("comes back on a terminal where it had one, with what the shell remembers", async () => {
    const flags = ["--jid", "shell", "--tty", "--attach"];
    using run = startInTerminal(daemon, ["run", "containerd", image, ...place(), ...flags, "--", "sh"]);
    await until("there is a prompt", () => run.stdout().includes("# "));
    run.write("X=hello; echo $((6 * 7))\r");
    await until("it answers", () => run.stdout().includes("42"));
    await dumped("job", "shell");
    await run.exited;
    using again = startInTerminal(daemon, ["restore", "job", "shell", "--attach"]);
    again.write("echo $X again; exit 4\r");
    expect(await again.exited).toBe(4);
    expect(again.stdout()).toContain("hello again");
    await until("nothing is left of it", async () => (await containers()).length === 0);
  });

  test("goes with --no-server, whose exit status is its own", async () => {
    const { code, stdout } = await daemon.cli(
      ["run", "containerd", image, ...place(), "--no-server", "--", "sh", "-c", "cat; exit 3"],
      { stdin: "given\n" },
    );
    expect([code, stdout]).toEqual([3, "given\n"]);
    await until("nothing is left of it", async () => (await containers()).length === 0);
  });

  test("is dumped, and restored into its own file system, as containerd's", async () => {
    await run("mine");
    await goesOn("mine");
    await dumped("job", "mine");
    expect(await taskOf("mine")).toBeUndefined();
    expect(await containers()).toContain("mine");
    await daemon.succeed("restore", "job", "mine");
    expect(await taskOf("mine")).toBe("RUNNING");
    const { pid } = JSON.parse(await daemon.succeed("job", "inspect", "mine", "--format", "json"));
    // Only a loopback that is up is in the routing table.
    expect(readFileSync(`/proc/${pid}/net/fib_trie`, "utf8")).toContain("127.0.0.1");
    await until("what the restore needed is out of its specification", async () => {
      const { Spec } = JSON.parse(await server.ctr("containers", "info", "mine"));
      return Spec.hooks === undefined && Spec.annotations === undefined;
    });
    await goesOn("mine");
    const log = join("/var/log", "cedana-output-mine.log");
    const lines = () => readFileSync(log, "utf8").split("\n").length;
    const before = lines();
    await until("its log goes on", () => lines() > before);
    await server.ctr("task", "kill", "-s", "KILL", "mine");
    await until("nothing is left of it", async () => (await containers()).length === 0);
    expect(await daemon.succeed("ps")).toMatch(/mine +containerd +\d+ +halted/);
  });

  test("outlives a containerd that is restarted, and a daemon that is killed; its exit status is not lost", async () => {
    await run("lasting", "--attachable");
    await goesOn("lasting");
    await server.restart();
    await daemon.kill9();
    await daemon.start();
    await goesOn("lasting");
    await server.ctr("task", "kill", "-s", "TERM", "lasting").catch(() => {});
    await server.ctr("task", "kill", "-s", "KILL", "lasting").catch(() => {});
    await until("its end is known", async () => {
      const { status, exit } = JSON.parse(
        await daemon.succeed("job", "inspect", "lasting", "--format", "json"),
      );
      return status === "halted" && exit?.status === 137;
    });
    await until("nothing is left of it", async () => !(await containers()).includes("lasting"));
  });

  test.each([
    ["left running", ["--leave-running"]],
    ["ended", []],
  ])(
    "a containerd that is killed in the middle of a dump changes nothing: the job is %s",
    async (what, flags) => {
      const jid = `mid-${flags.length}`;
      await run(jid);
      await goesOn(jid);
      const { pid } = JSON.parse(await daemon.succeed("job", "inspect", jid, "--format", "json"));
      const dumping = dumped("job", jid, ...flags);
      await until("CRIU is at work", () => criuOf(pid) !== undefined);
      await server.restart();
      await dumping;
      if (what === "ended") {
        expect(await taskOf(jid)).toBeUndefined();
        await daemon.succeed("restore", "job", jid);
      }
      await goesOn(jid);
      await daemon.succeed("job", "kill", jid);
      await until("nothing is left of it", async () => !(await containers()).includes(jid));
    },
  );

  test("a folder is as good as an image", async () => {
    const rootfs = join(server.dir, "rootfs");
    expect(Bun.spawnSync(["mkdir", "-p", join(rootfs, "bin")]).success).toBe(true);
    for (const name of ["sh", "sleep", "cat"])
      Bun.spawnSync(["cp", "/bin/busybox", join(rootfs, "bin", name)]);
    await daemon.succeed("run", "containerd", rootfs, ...place(), "--jid", "folder", "--", ...counts);
    await until("it counts", () => existsSync(join(rootfs, "count")));
    await dumped("job", "folder", "--compression", "zstd");
    await daemon.succeed("restore", "job", "folder");
    await goesOn("folder");
    await daemon.succeed("job", "kill", "folder");
    await until("nothing is left of it", async () => !(await containers()).includes("folder"));
  });
});

describe("a container that somebody else started", () => {
  test("is shown, becomes a job, and is paused as containerd knows it", async () => {
    const id = await started("shown");
    const listed = JSON.parse(
      await daemon.succeed("query", "containerd", "sho", ...place(), "--format", "json"),
    );
    expect(listed.containers).toMatchObject([
      { container: { type: "containerd", id, namespace: server.namespace }, status: "running", image },
    ]);
    await daemon.succeed("manage", "containerd", id, ...place(), "--jid", "managed");
    expect(await daemon.succeed("ps")).toMatch(/managed +containerd/);
    await daemon.succeed("freeze", "job", "managed");
    expect(await taskOf(id)).toBe("PAUSED");
    await daemon.succeed("unfreeze", "containerd", id, ...place());
    expect(await taskOf(id)).toBe("RUNNING");
    await daemon.succeed("job", "kill", "managed");
    await removed(id);
  });

  test("whose state runc left half written is named, and hides no other", async () => {
    const [whole, half] = [await started("whole"), await started("half")];
    const state = join(server.runcRoot, server.namespace, half, "state.json");
    const before = readFileSync(state);
    writeFileSync(state, before.subarray(0, 9));
    const { code, stdout, stderr } = await daemon.cli(["query", "containerd", ...place(), "--quiet"]);
    writeFileSync(state, before);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${whole}\n` });
    expect(stderr).toMatch(/^warning: container half is left out: .*state\.json.*\n$/);
    for (const id of [whole, half]) await removed(id);
  });

  test("is waited for before it is there", async () => {
    const managing = daemon.succeed(
      "manage",
      "containerd",
      "upcoming",
      ...place(),
      "--upcoming",
      "--jid",
      "upcoming",
    );
    await Bun.sleep(300);
    await started("upcoming");
    expect(await managing).toContain("managing job upcoming");
    await daemon.succeed("job", "kill", "upcoming");
    await removed("upcoming");
  });

  test.each(["none", "tar", "lz4 --streams 2"])("is dumped with %s, and comes back", async (words) => {
    const form = words.split(" ");
    const id = await started(`form-${form.length}${form[0]}`);
    const path = await dumped("containerd", id, ...place(), "--compression", ...form);
    // What is left of the task is its owner's to take away.
    expect(await taskOf(id)).toBe("STOPPED");
    const jid = jidIn(await daemon.succeed("restore", "containerd", "--path", path, ...place()));
    expect(await taskOf(id)).toBe("RUNNING");
    await goesOn(id);
    await daemon.succeed("job", "kill", jid);
    await until("its task is gone", async () => (await taskOf(id)) === undefined);
    // The container is somebody else's.
    expect(await containers()).toContain(id);
    await removed(id);
  });

  test("runs on when it is dumped so, and its file system becomes an image", async () => {
    const id = await started("kept");
    const path = await dumped("containerd", id, ...place(), "--leave-running", "--image", "localhost/kept:1");
    await goesOn(id);
    expect(await server.ctr("images", "ls", "-q")).toContain("localhost/kept:1");
    expect(
      await daemon.refuse("dump", "containerd", id, ...place(), "--image", "localhost/kept:1"),
    ).toContain("localhost/kept:1");
    await goesOn(id);
    await removed(id);
    // The container is gone, as on another host; the image brings its files.
    const restored = ["restore", "containerd", "--path", path, ...place(), "--id", "kept-2"];
    const jid = jidIn(await daemon.succeed(...restored));
    expect(await taskOf("kept-2")).toBe("RUNNING");
    await goesOn("kept-2");
    await daemon.succeed("job", "kill", jid);
    await until("nothing is left of it", async () => (await containers()).length === 0);
  });

  test("goes with the job that it was made for, when that is deleted", async () => {
    await run("forgotten");
    await goesOn("forgotten");
    await dumped("job", "forgotten");
    expect(await containers()).toEqual(["forgotten"]);
    await daemon.succeed("job", "delete", "forgotten", "--checkpoints");
    expect(await containers()).toEqual([]);
    expect(await server.ctr("snapshots", "ls")).not.toContain("Active");
  });

  test("--rootfs-only leaves its processes alone", async () => {
    const id = await started("files");
    const printed = await daemon.succeed(
      "dump",
      "containerd",
      id,
      ...place(),
      "--rootfs-only",
      "--image",
      "localhost/files:1",
    );
    expect(printed).toBe("committed the writable layer as image localhost/files:1\n");
    await goesOn(id);
    expect(await taskOf(id)).toBe("RUNNING");
    await removed(id);
  });
});

test("a containerd that is restarted is found again, and told of while it is down", async () => {
  const listed = () => daemon.succeed("query", "containerd", ...place(), "--format", "json");
  const before = await listed();
  await server.restart(async () => {
    const told = await daemon.refuse("query", "containerd", ...place());
    expect(told).toContain(`containerd is not running: nothing listens on ${server.address}`);
  });
  expect(await listed()).toBe(before);
});

describe("what cannot be", () => {
  test("is said in one line, and nothing is left", async () => {
    const sh = ["--", "sh"];
    expect(await daemon.refuse("run", "containerd", "nosuch", ...place())).toContain(
      "containerd has no image docker.io/library/nosuch:latest",
    );
    expect(await daemon.refuse("run", "containerd", image, ...place(), "--", "nosuch")).toContain(
      "executable file not found",
    );
    expect(await daemon.refuse("run", "containerd", image, "--address", "/nonexistent", ...sh)).toContain(
      "there is no socket /nonexistent",
    );
    expect(
      await daemon.refuse("run", "containerd", image, ...place(), "--snapshotter", "nosuch", ...sh),
    ).toContain("cannot use the snapshotter nosuch");
    expect(await daemon.refuse("dump", "containerd", "nosuch", ...place())).toContain("no container nosuch");
    expect(await daemon.refuse("query", "containerd", "nosuch", ...place())).toContain("no container nosuch");
    await server.ctr("containers", "create", image, "idle");
    expect(await daemon.refuse("dump", "containerd", "idle", ...place())).toContain(
      "container idle has no task",
    );
    expect(await daemon.refuse("run", "containerd", image, ...place(), "--id", "idle", ...sh)).toContain(
      "has a container idle already",
    );
    await server.ctr("containers", "rm", "idle");
    expect(await containers()).toEqual([]);
    expect(await server.ctr("snapshots", "ls")).not.toContain("Active");
    expect(await server.ctr("leases", "ls", "-q")).toBe("");
  });

  test("a restore from an image whose files are others is told, and leaves nothing", async () => {
    const id = await started("other");
    const path = await dumped("containerd", id, ...place(), "--leave-running");
    const change = "cp /bin/busybox /other && echo >> /other && mv /other /bin/busybox";
    await server.ctr("task", "exec", "--exec-id", "change", id, "sh", "-c", change);
    await dumped("containerd", id, ...place(), "--rootfs-only", "--image", "localhost/other:1");
    await removed(id);
    const restored = ["restore", "containerd", "--path", path, ...place(), "--id", "other-2"];
    expect(await daemon.refuse(...restored, "--image", "localhost/other:1")).toContain("/bin/busybox");
    expect(await containers()).toEqual([]);
    expect(await server.ctr("snapshots", "ls")).not.toContain("Active");
    expect(await server.ctr("leases", "ls", "-q")).toBe("");
    const jid = jidIn(await daemon.succeed(...restored));
    await goesOn("other-2");
    await daemon.succeed("job", "kill", jid);
    await until("nothing is left of it", async () => (await containers()).length === 0);
  });

  test("a restore where it runs already is refused, and one of a damaged checkpoint leaves nothing", async () => {
    const id = await started("twice");
    const path = await dumped("containerd", id, ...place(), "--leave-running", "--compression", "none");
    expect(await daemon.refuse("restore", "containerd", "--path", path, ...place())).toContain(
      "twice is there already",
    );
    await goesOn(id);
    const process = await daemon.refuse("restore", "runc", "--path", path, "--bundle", "/tmp");
    expect(process).toContain("the checkpoint is of type containerd, not runc");
    const core = readdirSync(path).find((name) => name.startsWith("core-")) ?? "";
    await until("its checksums are there", () => existsSync(join(path, "checksums.json")));
    await Bun.write(
      join(path, core),
      new Uint8Array(await Bun.file(join(path, core)).arrayBuffer()).reverse(),
    );
    const again = ["restore", "containerd", "--path", path, ...place(), "--id", "twice-2"];
    expect(await daemon.refuse(...again)).toContain("damaged");
    expect(await containers()).toEqual(["twice"]);
    await removed(id);
  });

  test("a dump that cannot be is told, and the container runs on", async () => {
    const id = await started("refused");
    const inside = server.ctr("task", "exec", "--exec-id", "guest", id, "sleep", "1000").catch(() => "ended");
    await until("a guest is in it", async () => (await server.ctr("task", "ps", id)).split("\n").length > 4);
    expect(await daemon.refuse("dump", "containerd", id, ...place())).toContain("was started from outside");
    await server.ctr("task", "kill", "--exec-id", "guest", "-s", "KILL", id);
    expect(await inside).toBe("ended");
    expect(
      await daemon.refuse("dump", "containerd", id, ...place(), "--criu-opts", '{"nonsense":1}'),
    ).toContain("nonsense");
    await goesOn(id);
    await removed(id);
  });
});
