import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listContainers } from "../../src/runc/containers.ts";
import { findContainer } from "../../src/runc/find.ts";
import { isContainerId } from "../../src/runc/id.ts";
import { defaultRoot } from "../../src/runc/roots.ts";
import { readState } from "../../src/runc/state.ts";
import { readStat } from "../../src/system/proc.ts";
import { failure } from "./failure.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "cedana-runc-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

type Json = Record<string, unknown>;

/** What runc writes of a container whose init is this very process. */
function stateOf(id: string, changes: Json = {}, config: Json = {}): Json {
  return {
    id,
    init_process_pid: process.pid,
    init_process_start: Number(readStat(process.pid)?.startTime),
    created: "2026-11-25T01:53:20.887008626Z",
    config: {
      rootfs: "/b/rootfs",
      mounts: [{ source: "proc", destination: "/proc", device: "proc", flags: 0 }],
      namespaces: [
        { type: "NEWPID", path: "" },
        { type: "NEWNET", path: "/run/netns/x" },
      ],
      labels: ["bundle=/b", "other=1"],
      version: "1.0.2-dev",
      ...config,
    },
    cgroup_paths: { "": join(root, "group"), pids: "/sys/fs/cgroup/pids/x" },
    namespace_paths: { NEWPID: "/proc/1/ns/pid" },
    external_descriptors: ["/dev/null", "pipe:[12]", "pipe:[13]"],
    ...changes,
  };
}

function put(id: string, state: unknown): string {
  const folder = join(root, id);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "state.json"), typeof state === "string" ? state : JSON.stringify(state));
  return folder;
}

/** The freezer of cgroup2, in the folder that states name as theirs. */
function freeze(value: string): void {
  mkdirSync(join(root, "group"), { recursive: true });
  writeFileSync(join(root, "group", "cgroup.freeze"), value);
}

const find = (id: string, otherRoots: string[] = []) => findContainer({ root, id, otherRoots });

describe("a container's state file", () => {
  test("tells what there is to know of it", () => {
    put("web", stateOf("web"));
    expect(find("web")).toEqual({
      id: "web",
      root,
      status: "running",
      pid: process.pid,
      init: { pid: process.pid, startTime: readStat(process.pid)?.startTime ?? 0n },
      createdAt: Date.parse("2026-11-25T01:53:20.887Z"),
      bundle: "/b",
      rootfs: "/b/rootfs",
      labels: ["bundle=/b", "other=1"],
      mounts: [{ source: "proc", destination: "/proc", type: "proc" }],
      maskedPaths: [],
      devices: [],
      namespaces: [
        { type: "pid", path: "" },
        { type: "network", path: "/run/netns/x" },
      ],
      cgroupPaths: new Map([
        ["", join(root, "group")],
        ["pids", "/sys/fs/cgroup/pids/x"],
      ]),
      externalDescriptors: ["/dev/null", "pipe:[12]", "pipe:[13]"],
      rootless: false,
    });
  });

  test("may lack what other versions of runc do not write", () => {
    const { id, init_process_pid, init_process_start, created } = stateOf("web");
    put("web", { id, init_process_pid, init_process_start, created, config: { rootfs: "/r", labels: null } });
    expect(find("web")).toMatchObject({ bundle: "", labels: [], namespaces: [], status: "running" });
  });

  test("is refused, naming what is wrong, when it cannot be runc's", () => {
    const complaint = (state: unknown) => {
      put("web", state);
      return failure(() => readState(root, "web")).message;
    };
    expect(complaint("{")).toContain("state.json is not JSON");
    expect(complaint([])).toContain("the top level is not an object");
    expect(complaint(stateOf("other"))).toContain('id is "other"');
    expect(complaint(stateOf("web", { init_process_pid: -1 }))).toContain("init_process_pid");
    expect(complaint(stateOf("web", { created: "yesterday" }))).toContain("created is not a time");
    expect(complaint(stateOf("web", { cgroup_paths: { x: 1 } }))).toContain(
      "cgroup_paths: x is not a string",
    );
    expect(complaint(stateOf("web", {}, { rootfs: "/a\0b" }))).toContain("NUL");
    expect(complaint(stateOf("web", {}, { namespaces: [{ type: "NEWODD" }] }))).toContain("NEWODD");
    expect(complaint(`"${"x".repeat(5 << 20)}"`)).toContain("larger than");
  });

  test("that is a pipe, a folder or a link into nowhere holds nobody up", () => {
    for (const kind of ["pipe", "folder", "link"]) mkdirSync(join(root, kind));
    expect(Bun.spawnSync(["mkfifo", join(root, "pipe/state.json")]).exitCode).toBe(0);
    mkdirSync(join(root, "folder/state.json"));
    symlinkSync("/nowhere", join(root, "link/state.json"));
    const { containers, broken } = listContainers(root);
    expect(containers).toEqual([]);
    expect(broken.map(({ id }) => id)).toEqual(["folder", "pipe"]);
  });
});

describe("the status", () => {
  const statusOf = () => find("web").status;

  test("is stopped when init is gone, or its pid is another process's now", () => {
    put("web", stateOf("web", { init_process_start: 1 }));
    expect(find("web")).toMatchObject({ status: "stopped", pid: 0 });
    put("web", stateOf("web", { init_process_pid: 0 }));
    expect(statusOf()).toBe("stopped");
    put("web", stateOf("web", { init_process_pid: 1 << 22 }));
    expect(statusOf()).toBe("stopped");
  });

  test("is created while init waits at its pipe", () => {
    const folder = put("web", stateOf("web"));
    writeFileSync(join(folder, "exec.fifo"), "");
    expect(statusOf()).toBe("created");
    freeze("1\n");
    expect(statusOf()).toBe("paused");
  });

  test("is paused when the freezer of either cgroup version holds it itself", () => {
    put("web", stateOf("web"));
    freeze("0\n");
    expect(statusOf()).toBe("running");
    freeze("1\n");
    expect(statusOf()).toBe("paused");
    // Version 1's freezer is runc's where there is one.
    const old = join(root, "old");
    mkdirSync(old);
    put("web", stateOf("web", { cgroup_paths: { "": join(root, "group"), freezer: old } }));
    const freezer = (state: string, self: string) => {
      writeFileSync(join(old, "freezer.state"), `${state}\n`);
      writeFileSync(join(old, "freezer.self_freezing"), `${self}\n`);
      return statusOf();
    };
    expect(freezer("THAWED", "0")).toBe("running");
    expect(freezer("FROZEN", "1")).toBe("paused");
    expect(freezer("FREEZING", "1")).toBe("paused");
    expect(freezer("FROZEN", "0")).toBe("running");
  });

  test("is stopped rather than paused when init was killed while it was frozen", () => {
    put("web", stateOf("web", { init_process_start: 1 }));
    freeze("1\n");
    expect(statusOf()).toBe("stopped");
  });
});

describe("finding a container", () => {
  test("takes its id, or a beginning of it that fits no other, of 4 characters or more", () => {
    for (const id of ["abcdef123", "abcdef456", "abcd", "unique99"]) put(id, stateOf(id));
    expect(find("abcdef123").id).toBe("abcdef123");
    expect(find("abcd").id).toBe("abcd");
    expect(find("uniq").id).toBe("unique99");
    expect(failure(() => find("uni"))).toMatchObject({
      reason: "CONTAINER_NOT_FOUND",
      message: `no container uni in ${root}`,
      hint: `runc --root ${root} list shows those there are`,
    });
    expect(failure(() => find("abcde"))).toMatchObject({
      reason: "INVALID_ARGUMENT",
      message: "abcde could be abcdef123, abcdef456",
    });
  });

  test("names the first few when there are many", () => {
    for (let at = 0; at < 9; at++) put(`same-${at}`, stateOf(`same-${at}`));
    expect(failure(() => find("same-")).message).toBe(
      "same- could be same-0, same-1, same-2, same-3, same-4 or 4 more",
    );
  });

  test("says which other root has it", () => {
    put("abcdef", stateOf("abcdef"));
    const elsewhere = join(root, "empty");
    mkdirSync(elsewhere);
    const error = failure(() =>
      findContainer({ root: elsewhere, id: "abcd", otherRoots: ["/nowhere", elsewhere, root] }),
    );
    expect(error.hint).toBe(`there is one in another root: add --root ${root}`);
    expect(
      failure(() => findContainer({ root: join(root, "none"), id: "abcd", otherRoots: [] })).message,
    ).toBe(`no container abcd in ${root}/none`);
  });

  test("refuses what is no id before any path is made of it", () => {
    for (const id of ["", "/", ".", "..", "../x", "a/b", "a\nb", "a\0b", "a b", "ä", "x".repeat(256)]) {
      expect(isContainerId(id)).toBe(false);
      expect(failure(() => find(id)).reason).toBe("INVALID_ARGUMENT");
    }
    expect(isContainerId("x".repeat(255))).toBe(true);
    expect(isContainerId("a+b_c-d.e")).toBe(true);
  });

  test("skips folders that have no state yet, and tells of broken ones apart", () => {
    put("good", stateOf("good"));
    put("broken", "{}");
    mkdirSync(join(root, "starting"));
    writeFileSync(join(root, "file"), "");
    const { containers, broken } = listContainers(root);
    expect(containers.map(({ id }) => id)).toEqual(["good"]);
    expect(broken.map(({ id }) => id)).toEqual(["broken"]);
    expect(listContainers(join(root, "nowhere"))).toEqual({ containers: [], broken: [] });
    expect(failure(() => listContainers("relative")).reason).toBe("INVALID_ARGUMENT");
    expect(failure(() => listContainers(join(root, "file"))).reason).toBe("PATH_NOT_USABLE");
  });

  test("looks where runc itself would", () => {
    expect(defaultRoot({ uid: 0, runtimeDir: "/run/user/0" })).toBe("/run/runc");
    expect(defaultRoot({ uid: 1000 })).toBe("/run/runc");
    expect(defaultRoot({ uid: 1000, runtimeDir: "/run/user/1000" })).toBe("/run/user/1000/runc");
  });
});
