import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { type CheckpointView, checkpointViews, renderCheckpoint } from "../../src/cli/render/checkpoint.ts";
import { readContent } from "../../src/criu/images/read_content.ts";
import { type CheckpointContent, CheckpointContentSchema } from "../../src/gen/cedana/daemon/v1/daemon_pb.ts";
import { content as toMessage } from "../../src/rpc/convert.ts";
import { dump, Victim, workload } from "./images-victim.ts";

describe("a real checkpoint", () => {
  let victim: Victim;
  let content: CheckpointContent;
  const view = (name?: CheckpointView) => renderCheckpoint(content, name);

  beforeAll(async () => {
    victim = await Victim.start(["python3", workload("many-kinds.py"), "FOLDER"]);
    content = create(CheckpointContentSchema, toMessage(await readContent(await dump(victim))));
  });

  afterAll(async () => {
    await victim[Symbol.asyncDispose]();
  });

  test("fd lists files as lsof does", () => {
    expect(view("fd")).toMatch(/^COMMAND +PID +UID +FD +TYPE +OFFSET +NAME\n/);
    expect(view("fd")).toMatch(new RegExp(` ${victim.pid} .* file +1234 +${victim.folder}/data\n`));
    expect(view("fd")).toMatch(/ socket:tcp +127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+ \(ESTABLISHED\)\n/);
    expect(view("fd")).toMatch(new RegExp(` cwd +directory +${victim.folder}\n`));
  });

  test("mem lists mappings as /proc/PID/maps does", () => {
    expect(view("mem")).toMatch(/^\d+ \S+: .* in \d+ mappings\nADDRESS +PERM +SIZE +RSS +PATH\n/);
    expect(view("mem")).toMatch(
      /\n[0-9a-f]{12}-[0-9a-f]{12} +rw-s +1\.0 MiB +8\.0 KiB +\/memfd:many-kinds \(deleted\)\n/,
    );
    expect(view("mem")).toContain("[heap]\n");
  });

  test("rss adds the memory up", () => {
    const [header, row, total] = view("rss").split("\n");
    expect(header).toMatch(/^PID +ANONYMOUS +FILE +SHARED +RSS +COMMAND$/);
    expect(row).toMatch(new RegExp(`^${victim.pid} .* 20 KiB .* `));
    expect(total).toStartWith("total");
  });

  test("sk lists sockets as ss does", () => {
    expect(view("sk")).toMatch(/^TYPE +STATE +LOCAL +REMOTE +PROCESSES\n/);
    expect(view("sk")).toMatch(/\ntcp +LISTEN +127\.0\.0\.1:\d+ +- +\S+\(\d+,fd=\d+\)\n/);
    expect(view("sk")).toMatch(new RegExp(`\nunix +LISTEN +${victim.folder}/socket +- `));
  });

  test("the summary says how much there is of everything", () => {
    expect(view()).toMatch(
      /^Processes +1 \(4 threads\)\nMemory +.* of content, .* mapped\nFiles +\d+ descriptors \(11 of sockets\)\n/,
    );
    expect(view()).toContain(victim.folder);
  });

  test("no view leaves blanks at the end of a line", () => {
    for (const name of [undefined, ...checkpointViews]) expect(view(name)).not.toMatch(/ \n/);
  });
});

test("ps draws the tree", () => {
  const one = (pid: number, ppid: number, comm: string) => ({
    pid,
    ppid,
    pgid: 1,
    sid: 1,
    comm,
    state: "alive",
    threads: [pid],
    rss: 4096n,
  });
  const processes = [
    one(1, 0, "init"),
    one(2, 1, "shell"),
    one(3, 1, "other"),
    one(4, 2, "deep"),
    one(5, 3, "below"),
  ];
  expect(renderCheckpoint(create(CheckpointContentSchema, { processes }), "ps")).toBe(
    [
      "PID  PPID  PGID  SID  UID  STATE  THREADS  RSS      COMMAND",
      "1    0     1     1    0    alive  1        4.0 KiB  init",
      "2    1     1     1    0    alive  1        4.0 KiB  ├─ shell",
      "4    2     1     1    0    alive  1        4.0 KiB  │  └─ deep",
      "3    1     1     1    0    alive  1        4.0 KiB  └─ other",
      "5    3     1     1    0    alive  1        4.0 KiB     └─ below",
      "",
    ].join("\n"),
  );
});

test("a tree as deep as there are pids is drawn", () => {
  const processes = Array.from({ length: 2000 }, (_, index) => ({
    pid: index + 1,
    ppid: index,
    comm: "nested",
  }));
  const lines = renderCheckpoint(create(CheckpointContentSchema, { processes }), "ps").split("\n");
  expect(lines).toHaveLength(2002);
});

test("names that programs chose cannot move the cursor or break a line", () => {
  const processes = [
    {
      pid: 1,
      comm: "\x1b[2J\nfake",
      exe: "/\x1b]0;title\x07",
      files: [{ fd: 3, type: "file", name: "/a\nb" }],
    },
  ];
  const content = create(CheckpointContentSchema, { processes });
  for (const name of [undefined, ...checkpointViews]) {
    const text = renderCheckpoint(content, name);
    expect([...text].filter((character) => character < " " && character !== "\n")).toEqual([]);
    expect(text).not.toMatch(/^fake|^b$/m);
  }
});
