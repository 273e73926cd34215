import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import type { CheckpointContent, CheckpointProcess } from "../../src/criu/images/content.ts";
import { readProcessTree } from "../../src/criu/images/process_tree.ts";
import { readContent } from "../../src/criu/images/read_content.ts";
import { processTree, readStat } from "../../src/system/proc.ts";
import { dump, Victim, workload } from "./images-victim.ts";

let victim: Victim;
let images: string;
let content: CheckpointContent;
let process: CheckpointProcess;

beforeAll(async () => {
  victim = await Victim.start(["python3", workload("many-kinds.py"), "FOLDER"]);
  images = await dump(victim);
  content = await readContent(images);
  const [root] = content.processes;
  if (root === undefined) throw new Error("no process");
  process = root;
});

afterAll(async () => {
  await victim[Symbol.asyncDispose]();
});

const proc = (path: string) => `/proc/${victim.pid}/${path}`;

/** The file of the kind that the only descriptor of the victim's /proc/PID/fd with this target has. */
function fileNamed(name: string) {
  return process.files.filter((file) => file.name === name);
}

describe("a checkpoint of a process with one of everything", () => {
  test("says what the process is, as /proc does", () => {
    const stat = readStat(victim.pid);
    expect(content.processes).toHaveLength(1);
    expect(process).toMatchObject({
      pid: victim.pid,
      ppid: 0,
      pgid: stat?.pgrp,
      sid: stat?.session,
      comm: stat?.comm,
      state: "alive",
      uid: 0,
      gid: 0,
      exe: readlinkSync(proc("exe")),
      cwd: victim.folder,
    });
    expect(process.threads.map(String).sort()).toEqual(readdirSync(proc("task")).sort());
    expect(process.threads).toHaveLength(4);
  });

  test("lists the mappings of /proc/PID/maps, in its words", () => {
    const lines = readFileSync(proc("maps"), "utf8").trimEnd().split("\n");
    const expected = lines.map((line) => line.replace(/^(\S+) (\S+) \S+ \S+ \S+ */, "$1 $2 "));
    // CRIU keeps the two stretches of kernel variables as one.
    const merged = expected
      .join("\n")
      .replace(/(\w+)-\w+ r--p \[vvar\]\n\w+-(\w+) r--p \[vvar_vclock\]/, "$1-$2 r--p [vvar]");
    const found = process.mappings.map(({ start, end, permissions, path }) => {
      const [from, to] = [start, end].map((edge) => edge.toString(16).padStart(8, "0"));
      return `${from}-${to} ${permissions} ${path}`;
    });
    expect(found.join("\n")).toBe(merged);
  });

  test("counts the memory that is in the images", () => {
    const pages = readdirSync(images).filter((name) => name.startsWith("pages-"));
    const bytes = pages.reduce((sum, name) => sum + statSync(`${images}/${name}`).size, 0);
    expect(process.rss).toBe(bytes);
    expect(process.mappings.reduce((sum, { rss }) => sum + rss, 0)).toBe(bytes);
    const rssOf = (path: string) => process.mappings.find((mapping) => mapping.path === path)?.rss;
    // 5,000 and 9,000 bytes were written.
    expect(rssOf("/memfd:many-kinds (deleted)")).toBe(8192);
    expect(rssOf("/dev/zero (deleted)")).toBe(12288);
    expect(rssOf(`${victim.folder}/data`)).toBe(0);
    expect(rssOf("[stack]")).toBeGreaterThan(0);
  });

  test("lists every open descriptor with its name and position", () => {
    const numbers = readdirSync(proc("fd")).map(Number);
    expect(process.files.map(({ fd }) => fd)).toEqual(numbers.sort((a, b) => a - b));
    for (const { fd, type, name, position } of process.files) {
      const target = readlinkSync(proc(`fd/${fd}`));
      if (target.startsWith("anon_inode:")) expect(name).toStartWith(`[${type}`);
      else if (type === "socket:unix") expect(name).toEndWith(` ${target}`);
      else expect(name).toBe(target);
      const pos = /^pos:\t(\d+)$/m.exec(readFileSync(proc(`fdinfo/${fd}`), "utf8"))?.[1];
      expect(position).toBe(Number(pos));
    }
  });

  test("knows the kinds of files", () => {
    const types = new Set(process.files.map(({ type }) => type));
    const kinds = [
      "device",
      "directory",
      "eventfd",
      "eventpoll",
      "fifo",
      "file",
      "inotify",
      "memfd",
      "pipe",
      "signalfd",
    ];
    const sockets = ["socket:tcp", "socket:udp", "socket:unix"];
    expect([...types].sort()).toEqual([...kinds, ...sockets, "timerfd", "tty"].sort());
    expect(fileNamed(`${victim.folder}/data`)[0]).toMatchObject({ type: "file", position: 1234 });
    expect(fileNamed(`${victim.folder}/gone (deleted)`)[0]).toMatchObject({ type: "file", position: 7 });
    expect(fileNamed(`${victim.folder}/fifo`)[0]?.type).toBe("fifo");
  });

  test("names the ends and states of TCP and UDP sockets as the kernel's tables do", () => {
    const tables = ["tcp", "tcp6", "udp"].flatMap((name) =>
      readFileSync(proc(`net/${name}`), "utf8").split("\n"),
    );
    const rows = new Map(tables.map((line) => line.trim().split(/\s+/)).map((cells) => [cells[9], cells]));
    const sockets = process.files.filter(({ type }) => type === "socket:tcp" || type === "socket:udp");
    expect(sockets.map(({ state }) => state).sort()).toEqual([
      "ESTABLISHED",
      "ESTABLISHED",
      "LISTEN",
      "LISTEN",
      "UNCONNECTED",
    ]);
    for (const { name, local, remote, state } of sockets) {
      const [, here = "", there = "", code] = rows.get(name.slice("socket:[".length, -1)) ?? [];
      expect(local).toBe(address(here));
      expect(remote).toBe(there.endsWith(":0000") ? "" : address(there));
      expect(code).toBe({ ESTABLISHED: "01", LISTEN: "0A", UNCONNECTED: "07" }[state]);
    }
  });

  test("names unix sockets by path, by abstract name and by peer", () => {
    const sockets = process.files.filter(({ type }) => type === "socket:unix");
    const listening = sockets.filter(({ state }) => state === "LISTEN").map(({ local }) => local);
    expect(listening).toEqual([`${victim.folder}/socket`, `@cedana-many-kinds-${victim.pid}`]);
    const client = sockets.find(({ remote }) => remote === `${victim.folder}/socket`);
    const served = sockets.find(
      ({ local, state }) => local === `${victim.folder}/socket` && state === "ESTABLISHED",
    );
    expect(client?.name).toBe(`stream ${served?.remote}`);
    const [one, other] = sockets.filter(({ name }) => name.startsWith("dgram"));
    expect(`dgram ${one?.remote}`).toBe(`${other?.name}`);
    expect(`dgram ${other?.remote}`).toBe(`${one?.name}`);
  });
});

test("a tree of processes keeps its shape, its stopped and its dead", async () => {
  const children = "(sleep 1000 & exec sleep 1000) & sleep 1000 & kill -STOP $!; sleep 0.1 &";
  const script = `${children} echo ready; exec sleep 1000`;
  await using tree = await Victim.start(["sh", "-c", script]);
  // The short sleep ends after its parent has become a program that does not wait for it.
  const states = () => processTree(tree.pid).map((pid) => readStat(pid)?.state);
  while (!states().includes("Z")) await Bun.sleep(10);
  const folder = await dump(tree);
  const { processes } = await readContent(folder);
  for (const { pid, ppid, pgid, sid, comm } of processes) {
    const stat = readStat(pid);
    expect({ pid, ppid, pgid, sid, comm }).toEqual({
      pid,
      ppid: pid === tree.pid ? 0 : (stat?.ppid ?? -1),
      pgid: stat?.pgrp ?? -1,
      sid: stat?.session ?? -1,
      comm: stat?.comm ?? "",
    });
  }
  expect(processes[0]?.pid).toBe(tree.pid);
  expect(processes.map(({ state }) => state).sort()).toEqual([
    "alive",
    "alive",
    "alive",
    "stopped",
    "zombie",
  ]);
  const zombie = processes.find(({ state }) => state === "zombie");
  expect(zombie).toMatchObject({ files: [], mappings: [], rss: 0, threads: [zombie?.pid] });
  const shape = processes.map(({ pid, ppid, pgid, sid, threads }) => ({ pid, ppid, pgid, sid, threads }));
  expect(await readProcessTree(folder)).toEqual(shape);
});

/** "0100007F:1F90" of /proc/net/tcp as "127.0.0.1:8080"; the only IPv6 address here is ::1. */
function address(text: string): string {
  const [host = "", port = ""] = text.split(":");
  if (host.length > 8) {
    expect(host).toBe("00000000000000000000000001000000");
    return `[::1]:${Number.parseInt(port, 16)}`;
  }
  const bytes = host.match(/../g)?.map((byte) => Number.parseInt(byte, 16)) ?? [];
  return `${bytes.reverse().join(".")}:${Number.parseInt(port, 16)}`;
}
