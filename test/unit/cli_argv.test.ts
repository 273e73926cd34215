import { describe, expect, test } from "bun:test";
import { bindValues } from "../../src/cli/argv/bind.ts";
import { resolveCommand } from "../../src/cli/argv/resolve.ts";
import { scan } from "../../src/cli/argv/scan.ts";
import { nearest } from "../../src/cli/argv/usage.ts";
import { type Command, namesOf, shortNamesOf } from "../../src/cli/command.ts";
import { globalFlags } from "../../src/cli/globals.ts";
import { root } from "../../src/cli/tree.ts";
import { CedanaError } from "../../src/errors.ts";

/** Words of a command line, blanks between them, `~` for a blank inside one. */
const words = (line: string) =>
  line
    .split(" ")
    .filter(Boolean)
    .map((word) => word.replaceAll("~", " "));

/** What a command line means: its command, and every value given. */
function parse(line: string): { path: string; given: Record<string, unknown> } {
  const { command, path, rest } = resolveCommand(root, words(line));
  const raw = scan(command, rest, path);
  if (raw.problem) throw raw.problem;
  const bound = {
    ...bindValues(globalFlags, { ...raw, positionals: [] }, path),
    ...bindValues(command.args, raw, path),
  };
  const given = Object.entries(bound).filter(([, value]) => value !== undefined && String(value) !== "");
  return { path: path.join(" "), given: Object.fromEntries(given) };
}

function refusal(line: string): string {
  try {
    parse(line);
  } catch (error) {
    if (!(error instanceof CedanaError)) throw error;
    expect(error.reason).toBe("USAGE");
    return `${error.message} | ${error.hint}`;
  }
  throw new Error(`${line} was accepted`);
}

describe("a command line", () => {
  test.each([
    ["ps", "ps", {}],
    ["jobs -a", "ps", { all: true }],
    ["job ls", "job list", {}],
    ["job checkpoints x", "job checkpoints", { job: "x" }],
    ["job checkpoint list x", "job checkpoint list", { job: "x" }],
    ["dump process 12 --dir /tmp --name=xyz", "dump process", { pid: 12, dir: "/tmp", name: "xyz" }],
    ["dump job x -d /a", "dump job", { job: "x", dir: "/a" }],
    ["dump job x -d/a --leave-running", "dump job", { job: "x", dir: "/a", "leave-running": true }],
    ["dump process 1 --compression GZIP", "dump process", { pid: 1, compression: "gzip" }],
    ["dump process 1 --external a --external=b", "dump process", { pid: 1, external: ["a", "b"] }],
    ["dump process 1 --shell-job=false", "dump process", { pid: 1, "shell-job": false }],
    ['dump process 1 --criu-opts {"a":1}', "dump process", { pid: 1, "criu-opts": '{"a":1}' }],
    ["--address /run/x ps", "ps", { address: "/run/x" }],
    ["ps --protocol TCP --address 1.2.3.4:5", "ps", { protocol: "tcp", address: "1.2.3.4:5" }],
    ["dump --dir /d process 7", "dump process", { pid: 7, dir: "/d" }],
    ["restore job --attach x", "restore job", { job: "x", attach: true }],
    ["restore process -p /x -a", "restore process", { path: "/x", attach: true }],
    ["query process 1 2 3 -ti", "query process", { pids: [1, 2, 3], tree: true, inspect: true }],
    ["dump runc web --root /r -d /a", "dump runc", { container: "web", root: "/r", dir: "/a" }],
    ["dump runc -i web -d /a", "dump runc", { id: "web", dir: "/a" }],
    ["dump job x --root /r", "dump job", { job: "x", root: "/r" }],
    ["manage --upcoming runc web", "manage runc", { container: "web", upcoming: true }],
    ["run runc -b /b --id web -d -j x", "run runc", { bundle: "/b", id: "web", detach: true, jid: "x" }],
    ["run runc --no-pivot --no-new-keyring", "run runc", { "no-pivot": true, "no-new-keyring": true }],
    ["restore runc -p /x -i a -b /b -d", "restore runc", { path: "/x", id: "a", bundle: "/b", detach: true }],
    [
      "restore runc -i a --bundle b.tar -d /c",
      "restore runc",
      { id: "a", bundle: "b.tar", detach: true, folder: "/c" },
    ],
    ["restore job x --id a --root /r", "restore job", { job: "x", id: "a", root: "/r" }],
    ["freeze runc web --root /r", "freeze runc", { container: "web", root: "/r" }],
    ["query runc -ti", "query runc", { tree: true, inspect: true }],
    ["query runc a b", "query runc", { containers: ["a", "b"] }],
    ["job checkpoint inspect ID -t fd", "job checkpoint inspect", { id: "ID", type: "fd" }],
    ["kill a b -s TERM", "kill", { jobs: ["a", "b"], signal: "TERM" }],
    ["kill -- -a", "kill", { jobs: ["-a"] }],
    ["dump job x --name a --name b", "dump job", { job: "x", name: "b" }],
  ])("%s", (line, path, given) => {
    expect(parse(line)).toEqual({ path, given });
  });
});

describe("run process", () => {
  test.each([
    ["echo hello", { command: ["echo", "hello"] }],
    ["echo hello --jid x", { command: ["echo", "hello"], jid: "x" }],
    ["--jid x -- echo hello", { command: ["echo", "hello"], jid: "x" }],
    ["--attach date-loop.sh", { command: ["date-loop.sh"], attach: true }],
    ["ls -la", { command: ["ls", "-la"] }],
    ["ls -la --jid x", { command: ["ls", "-la"], jid: "x" }],
    ["ls --color=auto -a", { command: ["ls", "--color=auto"], attach: true }],
    ["make -j4 all", { command: ["make", "-j4", "all"] }],
    ["python3 --version", { command: ["python3", "--version"] }],
    ["grep -h -v x file", { command: ["grep", "-h", "-v", "x", "file"] }],
    ["bash -c exit~3 --attach", { command: ["bash", "-c", "exit 3"], attach: true }],
    ["cat -", { command: ["cat", "-"] }],
    ["-- cmd --attach --jid y", { command: ["cmd", "--attach", "--jid", "y"] }],
    ["-- cmd -- x", { command: ["cmd", "--", "x"] }],
    ["-ta bash", { command: ["bash"], tty: true, attach: true }],
    ["-tajfoo bash", { command: ["bash"], tty: true, attach: true, jid: "foo" }],
    ["--env A=1 --env B=2 env", { command: ["env"], env: ["A=1", "B=2"] }],
    ["echo --address /s", { command: ["echo"], address: "/s" }],
    ["echo --jidx", { command: ["echo", "--jidx"] }],
  ])("%s", (line, given) => {
    expect(parse(`run process ${line}`)).toEqual({ path: "run process", given });
    expect(parse(`exec ${line}`)).toEqual({ path: "exec", given });
  });

  test("refuses an unknown flag before the command, which nothing says is the command's", () => {
    expect(refusal("run process --atach echo")).toBe(
      "unknown flag --atach for cedana run process | did you mean --attach?",
    );
  });
});

describe("wrong usage says what was meant", () => {
  test.each([
    ["pss", 'unknown command "pss" | did you mean cedana ps?'],
    ["xyzzy", 'unknown command "xyzzy" | see: cedana --help'],
    [
      "dump jbo x",
      'cedana dump: "jbo" is none of process, runc, containerd, job | did you mean cedana dump job?',
    ],
    [
      "dump process 1 --leave-runing",
      "unknown flag --leave-runing for cedana dump process | did you mean --leave-running?",
    ],
    ["--adress x ps", "unknown flag --adress | did you mean --address?"],
    ["ps -x", "unknown flag -x for cedana ps | see: cedana ps --help"],
    ["ps -ax", "unknown flag -x for cedana ps | see: cedana ps --help"],
    ["dump process", "PID is missing | see: cedana dump process --help"],
    ["dump process x", 'PID must be a whole number from 1, got "x" | see: cedana dump process --help'],
    ["dump process 0", 'PID must be a whole number from 1, got "0" | see: cedana dump process --help'],
    ["dump process 1 2", 'unexpected argument "2" | see: cedana dump process --help'],
    ["dump process 1 --dir", "flag --dir needs a value | see: cedana dump process --help"],
    ["dump process 1 -d", "flag -d needs a value | see: cedana dump process --help"],
    ["dump process 1 --dir --name x", "flag --dir needs a value | see: cedana dump process --help"],
    [
      "dump process 1 --streams x",
      '--streams must be a whole number from 0, got "x" | see: cedana dump process --help',
    ],
    [
      "dump process 1 --async=maybe",
      '--async must be true or false, got "maybe" | see: cedana dump process --help',
    ],
    [
      "dump process 1 --compression zip",
      '--compression must be one of none, tar, gzip, lz4, zlib, zstd, got "zip" | did you mean gzip?',
    ],
    ["restore process", "--path is missing | see: cedana restore process --help"],
    ["manage runc", "ID is missing | see: cedana manage runc --help"],
    ["run runc web", 'unexpected argument "web" | see: cedana run runc --help'],
    ["run runc --no-pivt", "unknown flag --no-pivt for cedana run runc | did you mean --no-pivot?"],
    [
      "restore runc --rootless maybe",
      '--rootless must be one of auto, true, false, got "maybe" | see: cedana restore runc --help',
    ],
    ["run process", "command is missing | see: cedana run process --help"],
    ["ps --format xml", '--format must be one of table, json, got "xml" | see: cedana ps --help'],
  ])("%s", (line, message) => {
    expect(refusal(line)).toBe(message);
  });

  test("nothing is suggested that shares too little", () => {
    expect(nearest("restore", ["run", "dump"])).toBeUndefined();
    expect(nearest("retsore", ["restore", "run"])).toBe("restore");
    expect(nearest("", ["run"])).toBeUndefined();
  });
});

describe("the tree", () => {
  const all = (command: Command): Command[] => [command, ...command.subCommands.flatMap(all)];

  test("names each command once in its group", () => {
    for (const { subCommands } of all(root)) {
      const names = subCommands.flatMap(namesOf);
      expect(new Set(names).size).toBe(names.length);
    }
  });

  test("gives each short flag one meaning in a command", () => {
    for (const { args } of all(root)) {
      const letters = Object.values({ ...globalFlags, ...args }).flatMap(shortNamesOf);
      expect(new Set(letters).size).toBe(letters.length);
    }
  });

  test("never hides a global flag behind one of a command's own, but for containerd's --address", () => {
    for (const { args, meta } of all(root)) {
      const hidden = Object.keys(args).filter((name) => Object.hasOwn(globalFlags, name));
      expect(hidden).toEqual(["containerd", "k8s"].includes(meta.name) ? ["address"] : []);
    }
  });
});
