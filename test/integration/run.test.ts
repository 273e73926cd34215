/** run: as whom, with what, into which log; and what a job that did not start leaves behind: nothing. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { inspectJob, runningStatus, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

/** No account needs to have it. */
const uid = 54321;
let daemon: TestDaemon;
/** A folder of that user's. */
let home: string;

beforeAll(async () => {
  daemon = await startTestDaemon();
  home = join(daemon.dir, "home");
  mkdirSync(home);
  await Bun.$`chown ${uid}:${uid} ${home}`;
});
afterAll(() => daemon.stop());

const attached = (...command: string[]) => daemon.cli(["run", "process", "--attach", "--", ...command]);
const sh = (script: string) => ["sh", "-c", script];
/** As a user with supplementary groups; the kernel tells the daemon all three. */
const asUser = (...args: string[]) =>
  Bun.$`setpriv --reuid ${uid} --regid ${uid} --groups ${uid},50,44 ${process.env.CEDANA_BINARY ?? join(import.meta.dir, "../../dist/cedana")} ${args}`
    .env(daemon.env)
    .cwd(home)
    .nothrow()
    .quiet();

test("a job exits with its own status, or 128 + n for signal n", async () => {
  const [ok, seven, term, kill] = await Promise.all([
    attached("true"),
    attached(...sh("exit 7")),
    attached(...sh("kill -TERM $$")),
    attached(...sh("kill -KILL $$")),
  ]);
  expect([ok.code, seven.code, term.code, kill.code]).toEqual([0, 7, 143, 137]);
});

test("a job has the caller's folder, umask and environment, with --env-file and --env on top", async () => {
  const file = join(daemon.dir, "vars");
  writeFileSync(file, "# comment\nA=file\nB='quoted value'\n\nexport C=c\n");
  const folder = join(daemon.dir, "some folder");
  mkdirSync(folder);
  const flags = ["--env-file", file, "--env", "A=flag", "--env", "EMPTY="];
  const { stdout } = await daemon.cli(
    ["run", "process", "--attach", ...flags, "--", ...sh('pwd; umask; echo "$A|$B|$C|$OWN|$EMPTY"')],
    { cwd: folder, env: { OWN: "own\nline" } },
  );
  expect(stdout).toBe(
    `${folder}\n${process.umask().toString(8).padStart(4, "0")}\nflag|quoted value|c|own\nline|\n`,
  );
  const elsewhere = await daemon.cli(["run", "process", "--attach", "--cwd", "/usr", "pwd"]);
  expect(elsewhere.stdout).toBe("/usr\n");
});

test("a job inherits nothing of ours: fds, signals, session, limits", async () => {
  // All of it by the shell itself: while it starts another program it has pipes open and signals blocked.
  const look = [
    'n=0; while [ $n -lt 1024 ]; do if [ -e /proc/$$/fd/$n ]; then printf "%s " $n; fi; n=$((n+1)); done; echo',
    'while read -r line; do case $line in Sig[BI]*) echo "$line";; esac; done </proc/$$/status',
    "read -r _ _ _ _ _ session _ </proc/$$/stat; echo $session; echo $$; ulimit -Sn",
  ];
  const { stdout } = await attached(...sh(look.join("; ")));
  const [fds, blocked, ignored, session, pid, files] = stdout.split("\n");
  expect(fds?.trim()).toBe("0 1 2");
  expect(blocked).toMatch(/SigBlk:\s+0+$/);
  expect(ignored).toMatch(/SigIgn:\s+0+$/);
  expect(session).toBe(pid);
  expect(Number(files)).toBeLessThanOrEqual(1024);
});

test("a user's job has the user's uid, gid and groups, and root's only for root", async () => {
  const own = await asUser(
    "run",
    "process",
    "--attach",
    "--",
    ...sh("id -u; id -g; id -G; grep CapEff /proc/self/status"),
  );
  expect(own.stdout.toString()).toMatch(new RegExp(`^${uid}\n${uid}\n${uid} 44 50\nCapEff:\\s+0+\n$`));
  const root = await asUser("run", "process", "--as-root", "id");
  expect(root.exitCode).toBe(1);
  expect(root.stderr.toString()).toContain("only root may use --as-root");
  const alone = await asUser("run", "process", "--as-root", "--no-server", "id");
  expect(alone.exitCode).toBe(1);
  expect(alone.stdout.toString()).toBe("");
});

test("a user's log is written with the user's rights: no link of his leads to a file of root's", async () => {
  const secret = join(daemon.dir, "secret");
  writeFileSync(secret, "root's\n");
  chmodSync(secret, 0o600);
  const link = join(home, "link.log");
  symlinkSync(secret, link);
  for (const path of [secret, link, join(daemon.dir, "new.log")]) {
    const refused = await asUser("run", "process", "--out", path, "echo", "owned");
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr.toString()).toMatch(/cannot write the log .*: permission denied/);
  }
  expect(readFileSync(secret, "utf8")).toBe("root's\n");
  const mine = join(home, "mine.log");
  const jid = (await asUser("run", "process", "--quiet", "--jid", "mine", "--out", mine, "echo", "hello"))
    .exitCode;
  expect(jid).toBe(0);
  await until("the log is written", () => existsSync(mine) && readFileSync(mine, "utf8") === "hello\n");
});

test("a command that cannot be started is an error at once, and leaves no job, folder, log or process", async () => {
  const plain = join(daemon.dir, "plain.txt");
  writeFileSync(plain, "no program");
  const refusals: [string[], RegExp][] = [
    [["no-such-command-anywhere"], /"no-such-command-anywhere": command not found/],
    [["/no/such/path"], /"\/no\/such\/path": command not found/],
    [[plain], /permission denied/],
    [["--cwd", "/no/such/folder", "true"], /cannot enter the folder \/no\/such\/folder/],
    [["--out", join(daemon.dir, "never.log"), "no-such-command-anywhere"], /command not found/],
    [["--out", "/no/such/folder/x.log", "true"], /cannot write the log/],
    [["--jid", "../x", "true"], /must be 1 to 64 letters/],
    [["--jid", "", "true"], /--jid/],
    [["--jid", "x".repeat(200), "true"], /must be 1 to 64 letters/],
  ];
  for (const [index, [args, message]] of refusals.entries()) {
    const named = args.includes("--jid") ? args : ["--jid", `refused${index}-${process.pid}`, ...args];
    const { code, stdout, stderr } = await daemon.cli(["run", "process", ...named]);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
    expect({ stdout, failed: code === 1 || code === 2 }).toEqual({ stdout: "", failed: true });
    expect(existsSync(`/var/log/cedana-output-refused${index}-${process.pid}.log`)).toBe(false);
  }
  expect(existsSync(join(daemon.dir, "never.log"))).toBe(false);
  const { stdout } = await daemon.cli(["ps", "--quiet"]);
  expect(stdout).not.toContain("refused");
  expect(readdirSync(join(daemon.dir, "cedana.db.d")).filter((name) => name.startsWith("refused"))).toEqual(
    [],
  );
});

test("a job id that is taken is refused, with the daemon and without, and the job that has it runs on", async () => {
  await daemon.cli(["run", "process", "--attachable", "--jid", "taken", "sleep", "1000"]);
  const before = await inspectJob(daemon, "taken");
  const marker = join(daemon.dir, "ran");
  for (const more of [[], ["--no-server"]]) {
    const { code, stderr } = await daemon.cli(["run", "process", "--jid", "taken", ...more, "touch", marker]);
    expect(code).toBe(1);
    expect(stderr).toContain("a job named taken exists already");
  }
  expect(existsSync(marker)).toBe(false);
  expect((await inspectJob(daemon, "taken")).pid).toBe(before.pid);
});

test("a job without a place for its output logs to /var/log, for its owner alone, until it is forgotten", async () => {
  const jid = `logged-${process.pid}`;
  const path = `/var/log/cedana-output-${jid}.log`;
  try {
    const { stdout } = await daemon.cli([
      "run",
      "process",
      "--jid",
      jid,
      "--",
      ...sh("echo out; echo err >&2"),
    ]);
    expect(stdout).toMatch(new RegExp(`^started job ${jid}, log ${path}, PID \\d+\n$`));
    await until(
      "both lines are logged",
      () => readFileSync(path, "utf8").split("\n").sort().join() === ",err,out",
    );
    const logs = await daemon.cli(["job", "logs", jid]);
    expect(logs.stdout).toContain("out\n");
    await daemon.cli(["job", "delete", jid]);
    expect(existsSync(path)).toBe(false);
  } finally {
    rmSync(path, { force: true });
  }
});

test("job logs -f prints what comes, and ends with the job", async () => {
  const path = join(daemon.dir, "follow.log");
  const go = join(daemon.dir, "go-on");
  const script = `echo first; while [ ! -e ${go} ]; do sleep 0.05; done; echo last`;
  await daemon.cli(["run", "process", "--jid", "followed", "--out", path, "--", ...sh(script)]);
  const following = daemon.cli(["job", "logs", "-f", "followed"]);
  await until("the first line is logged", () => readFileSync(path, "utf8") === "first\n");
  writeFileSync(go, "");
  expect((await following).stdout).toBe("first\nlast\n");
});

test("a full disk makes a gap in the log, and the job runs on", async () => {
  const disk = join(daemon.dir, "disk");
  mkdirSync(disk);
  await Bun.$`mount -t tmpfs -o size=256k tmpfs ${disk}`;
  try {
    const log = join(disk, "job.log");
    const done = join(daemon.dir, "done");
    const script = `head -c 1000000 /dev/zero; touch ${done}; sleep 1000`;
    await daemon.cli(["run", "process", "--jid", "full", "--out", log, "--", ...sh(script)]);
    await until("the job has written all", () => existsSync(done));
    expect((await inspectJob(daemon, "full")).status).toMatch(runningStatus);
    const { code } = await daemon.cli(["job", "kill", "full"]);
    expect(code).toBe(0);
    await until("the log is closed", async () => (await inspectJob(daemon, "full")).exit?.status === 137);
  } finally {
    await until(
      "the disk is free",
      async () => (await Bun.$`umount ${disk}`.nothrow().quiet()).exitCode === 0,
    );
  }
});

test("the log is no place for a named pipe that nobody reads", async () => {
  const fifo = join(daemon.dir, "fifo");
  await Bun.$`mkfifo ${fifo}`;
  const { code, stderr } = await daemon.cli(["run", "process", "--out", fifo, "true"]);
  expect(code).toBe(1);
  expect(stderr).toContain("cannot write the log");
});

test("a hundred jobs started at once all run", async () => {
  const runs = Array.from({ length: 100 }, (_, index) =>
    daemon.cli(["run", "process", "--attachable", "--jid", `many${index}`, "sleep", "1000"]),
  );
  const codes = (await Promise.all(runs)).map(({ code }) => code);
  expect(codes.filter((code) => code !== 0)).toEqual([]);
  const jobs: { jid: string; status: string }[] = JSON.parse(
    (await daemon.cli(["ps", "--format", "json"])).stdout,
  );
  const many = jobs.filter(({ jid }) => jid.startsWith("many"));
  expect(many.length).toBe(100);
  expect(many.every(({ status }) => status !== "halted")).toBe(true);
}, 120_000);
