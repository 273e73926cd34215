import { describe, expect, test } from "bun:test";
import { type DumpCommand, dumpArguments, restoreArguments } from "../../src/criu/options.ts";
import { leavesRunning, optionsFromJson } from "../../src/criu/override.ts";
import { CedanaError } from "../../src/errors.ts";

const dump: DumpCommand = {
  pid: 7,
  imagesDir: "/i",
  workDir: "/w",
  leaveRunning: false,
  unprivileged: false,
};
const restore = { imagesDir: "/i", workDir: "/w", unprivileged: false, inherit: [] };

describe("a dump's arguments", () => {
  test("name the tree, the folders and a log, and never the host's own CRIU configuration", () => {
    expect(dumpArguments(dump).join(" ")).toBe("dump -t 7 -D /i -W /w --no-default-config -v2 -o criu.log");
  });

  test("hold a flag for every choice", () => {
    const all = dumpArguments({
      ...dump,
      leaveRunning: true,
      unprivileged: true,
      tcpEstablished: true,
      skipInFlight: true,
      fileLocks: true,
      linkRemap: true,
      shellJob: true,
      leaveStopped: true,
      external: ["tty[8800:1a]", "mnt[/x]:y"],
      manageCgroups: "ignore",
      actionScript: "/hook",
    });
    for (const flag of [
      "--leave-running",
      "--unprivileged",
      "--tcp-established",
      "--skip-in-flight",
      "--file-locks",
    ]) {
      expect(all).toContain(flag);
    }
    expect(all.join(" ")).toContain("--link-remap --shell-job --leave-stopped --manage-cgroups=ignore");
    expect(all.join(" ")).toContain("--external tty[8800:1a] --external mnt[/x]:y");
    expect(all.join(" ")).toContain("--action-script /hook");
  });

  test("hold connections still only where there may be any", () => {
    const lock = (unlocked: boolean, more: Partial<DumpCommand> = {}) =>
      dumpArguments({ ...dump, container: { root: "/r", unlocked }, ...more })
        .join(" ")
        .includes("--network-lock skip");
    expect(lock(true)).toBe(true);
    expect(lock(false)).toBe(false);
    expect(lock(true, { tcpEstablished: true })).toBe(false);
    expect(lock(true, { criuOpts: '{"tcp_established": true}' })).toBe(false);
  });

  test("end with what --criu-opts says, so that it wins", () => {
    const args = dumpArguments({
      ...dump,
      shellJob: true,
      criuOpts: '{"shell_job": false, "ghost_limit": 5}',
    });
    expect(args.slice(-2)).toEqual(["--no-shell-job", "--ghost-limit=5"]);
  });
});

describe("a restore's arguments", () => {
  test("make the tree a child of whoever starts CRIU, with its files replaced by open ones", () => {
    const args = restoreArguments({ ...restore, inherit: [{ fd: 9, key: "pipe:[5]" }] }).join(" ");
    expect(args).toStartWith("restore -d --restore-sibling --pidfile restored.pid -D /i -W /w");
    expect(args).toEndWith("--inherit-fd fd[9]:pipe:[5]");
  });
});

describe("--criu-opts", () => {
  test("serves a dump and its restore: fields of the other direction are left out", () => {
    const json = '{"ghost_limit": 1, "weak_sysctls": true, "tcp_close": true}';
    expect(optionsFromJson(json, "dump")).toEqual(["--ghost-limit=1", "--tcp-close"]);
    expect(optionsFromJson(json, "restore")).toEqual(["--weak-sysctls", "--tcp-close"]);
  });

  test("repeats the flag for each of a list's entries", () => {
    expect(optionsFromJson('{"external": ["a", "b"]}', "dump")).toEqual(["--external=a", "--external=b"]);
  });

  test.each([
    ["{", "not valid JSON"],
    ["[]", "not a JSON object"],
    ["null", "not a JSON object"],
    ['{"images_dir": "/x"}', 'unknown field "images_dir"'],
    ['{"constructor": true}', 'unknown field "constructor"'],
    ['{"shell_job": "yes"}', '"shell_job" must be true or false'],
    ['{"ghost_limit": -1}', '"ghost_limit" must be a whole number'],
    ['{"ghost_limit": 1.5}', '"ghost_limit" must be a whole number'],
    ['{"root": 1}', '"root" must be a string'],
    ['{"external": "x"}', '"external" must be a list of strings'],
    ['{"external": [1]}', '"external" must be a list of strings'],
  ])("refuses %s", (json, why) => {
    expect(() => optionsFromJson(json, "dump")).toThrow(why);
    expect(() => optionsFromJson(json, "dump")).toThrow(CedanaError);
  });

  test("decides whether the tree goes on", () => {
    expect(leavesRunning(undefined)).toBeUndefined();
    expect(leavesRunning('{"tcp_close": true}')).toBeUndefined();
    expect(leavesRunning('{"leave_running": true}')).toBe(true);
    expect(leavesRunning('{"leave_running": false}')).toBe(false);
    expect(leavesRunning('{"leave_stopped": true}')).toBe(true);
  });
});
