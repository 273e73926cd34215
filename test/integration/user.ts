/** An ordinary user of a test's daemon, with groups of his own. He needs no entry in /etc/passwd. */
import { chownSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./client.ts";
import { binary, type Result, type TestDaemon } from "./daemon.ts";
import type { Restored } from "./victim.ts";

export interface User {
  uid: number;
  /** His own folder, which nobody else may enter, or a path in it. */
  home(name?: string): string;
  /** Runs any program as him. */
  exec(command: string[]): Promise<Result>;
  cli(args: string[]): Promise<Result>;
  /** The command line that `cli` runs. */
  command(args: string[]): string[];
  /** Its stdout; throws when it fails. */
  succeed(...args: string[]): Promise<string>;
  /** Runs a job that counts in a file, and waits for its first count. */
  count(jid: string, flags: string[]): Promise<Counting>;
  /** The path that a dump prints last. */
  dump(...args: string[]): Promise<string>;
  restore(...args: string[]): Promise<Restored>;
}

export interface Counting {
  pid: number;
  file: string;
  goesOn(): Promise<void>;
}

export function createUser(daemon: TestDaemon, uid: number, groups: number[] = []): User {
  const folder = join(daemon.dir, `home-${uid}`);
  const home = (name = "") => join(folder, name);
  mkdirSync(folder, { mode: 0o700 });
  chownSync(folder, uid, uid);
  // The checkout may be root's alone.
  const program = join(daemon.dir, "cedana");
  if (!existsSync(program)) copyFileSync(binary, program);
  const set = groups.length === 0 ? ["--clear-groups"] : ["--groups", groups.join(",")];

  const become = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, ...set, "--inh-caps=-all"];
  const command = (args: string[]) => [
    ...become,
    ...[program, "--config-dir", join(daemon.dir, "config")],
    ...args,
  ];

  const run = async (args: string[]): Promise<Result> => {
    const child = Bun.spawn(args, {
      ...{ cwd: folder, env: { ...daemon.env, HOME: folder } },
      ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    });
    const [stdout, stderr, code] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  };
  const exec = (args: string[]) => run([...become, ...args]);
  const cli = (args: string[]) => run(command(args));
  const succeed = async (...args: string[]) => {
    const { code, stdout, stderr } = await cli(args);
    if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
    return stdout;
  };

  return {
    ...{ uid, home, exec, cli, command, succeed },
    count: async (jid, flags) => {
      const file = home(`${jid}.count`);
      const script = 'i=0; while :; do i=$((i+1)); echo $i >"$0.new"; mv "$0.new" "$0"; sleep 0.1; done';
      await succeed("run", "process", "--jid", jid, ...flags, "--", "sh", "-c", script, file);
      await until(`${jid} counts`, () => existsSync(file));
      const { pid } = JSON.parse(await succeed("job", "inspect", jid, "--format", "json"));
      const goesOn = async () => {
        const before = Number(readFileSync(file, "utf8"));
        await until(`${jid} counts beyond ${before}`, () => Number(readFileSync(file, "utf8")) > before);
      };
      return { pid, file, goesOn };
    },
    dump: async (...args) => (await succeed("dump", ...args)).trim().split(" ").at(-1) ?? "",
    restore: async (...args) => {
      const printed = await succeed("restore", ...args);
      const [, jid, pid] = /^restored job (\S+?),.* PID (\d+)$/m.exec(printed) ?? [];
      if (jid === undefined) throw new Error(printed);
      return { jid, pid: Number(pid) };
    },
  };
}

/** Uids, groups and capabilities of a process, as the kernel tells them. */
export function rightsOf(pid: number): Record<string, string> {
  const wanted = /^(Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap\w+):\s*(.*?)\s*$/;
  const lines = readFileSync(`/proc/${pid}/status`, "utf8").split("\n");
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [, name, value] = wanted.exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name, value]];
    }),
  );
}

/** Names in `folder` that a restore could have forgotten: hidden ones, of what was being made. */
export function partialsIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.includes(".partial-"));
}
