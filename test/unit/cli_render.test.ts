import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { renderContainers } from "../../src/cli/render/containers.ts";
import { exitStatusOf, renderError } from "../../src/cli/render/errors.ts";
import { renderHealth } from "../../src/cli/render/health.ts";
import { renderCheckpoints, renderJob, renderJobs } from "../../src/cli/render/jobs.ts";
import { renderJson } from "../../src/cli/render/json.ts";
import { duration, renderProfile } from "../../src/cli/render/profile.ts";
import { size } from "../../src/cli/render/size.ts";
import { printable, renderTable } from "../../src/cli/render/table.ts";
import { ago, localTime } from "../../src/cli/render/time.ts";
import { CedanaError } from "../../src/errors.ts";
import { QueryResponseSchema } from "../../src/gen/cedana/daemon/v1/daemon_pb.ts";
import { CheckpointSchema, JobSchema, ProfileSchema } from "../../src/gen/cedana/daemon/v1/job_pb.ts";

const now = new Date(2025, 1, 19, 12, 32, 3).getTime();

describe("a table", () => {
  test("has two spaces between columns and none at the ends of lines", () => {
    expect(
      renderTable(
        ["JOB", "GPU", "LOG"],
        [
          ["long_name1", "no", ""],
          ["x", "", "/a"],
        ],
      ),
    ).toBe("JOB         GPU  LOG\nlong_name1  no\nx                /a\n");
  });

  test("counts what a terminal shows: wide letters twice, colours not at all", () => {
    expect(
      renderTable(
        ["A", "B"],
        [
          ["日本", "1"],
          ["\x1b[31mred\x1b[0m", "2"],
        ],
      ),
    ).toBe("A     B\n日本  1\n\x1b[31mred\x1b[0m   2\n");
  });

  test("shows control characters instead of obeying them", () => {
    expect(printable("a\x1b[2J\nb\u009b1m")).toBe("a\\u001b[2J\\nb\\u009b1m");
  });
});

describe("times and sizes", () => {
  test.each([
    [0, "1 second ago"],
    [-5000, "1 second ago"],
    [2300, "2 seconds ago"],
    [59_999, "59 seconds ago"],
    [60_000, "1 minute ago"],
    [7_200_000, "2 hours ago"],
    [86_400_000 * 3, "3 days ago"],
    [86_400_000 * 8, "1 week ago"],
    [86_400_000 * 65, "2 months ago"],
    [86_400_000 * 800, "2 years ago"],
  ])("%d ms is %s", (passed, text) => {
    expect(ago(now - passed, now)).toBe(text);
  });

  test("a time is local and of fixed width", () => {
    expect(localTime(new Date(2025, 1, 9, 2, 3, 4).getTime())).toBe("2025-02-09 02:03:04");
  });

  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [659_456, "644 KiB"],
    [10_188, "9.9 KiB"],
    [10_230, "10 KiB"],
    [1_048_500, "1.0 MiB"],
    [1_288_490_189, "1.2 GiB"],
    [2n ** 62n, "4.0 EiB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(size(bytes)).toBe(text);
  });

  test.each([
    [0.2, "auto", "200 us"],
    [34.126, "auto", "34.13 ms"],
    [2500, "auto", "2.500 s"],
    [0.0015, "ns", "1500 ns"],
    [2500, "ms", "2500.00 ms"],
  ] as const)("%d ms in %s is %s", (ms, precision, text) => {
    expect(duration(ms, precision)).toBe(text);
  });

  test("a profile ends in its total", () => {
    const steps = [
      { name: "validate", durationUs: 200n },
      { name: "criu", durationUs: 34_123n },
    ];
    expect(renderProfile(create(ProfileSchema, { steps, totalUs: 35_500n }), "auto")).toBe(
      "STEP      TIME\nvalidate  200 us\ncriu      34.12 ms\ntotal     35.50 ms\n",
    );
  });
});

describe("jobs", () => {
  const latestCheckpoint = {
    id: "141d52b4-0d1f-4911-a0da-abfab3358d16",
    createdAt: timestampFromMs(now - 2300),
    size: 659_456n,
    path: "/tmp/dump-process-personal_hopper9-1739986321.tar",
  };
  const halted = { jid: "personal_hopper9", type: "process", pid: 32646, status: "halted", latestCheckpoint };
  const logged = {
    jid: "used_gould8",
    type: "process",
    pid: 5336,
    status: "sleep",
    log: "/var/log/cedana-output-used_gould8.log",
  };
  const attachable = {
    jid: "easy_tu9",
    type: "process",
    pid: 7,
    status: "sleep",
    gpu: true,
    attachable: true,
  };

  test("are listed in the columns of the contract", () => {
    const jobs = [halted, logged, attachable].map((job) => create(JobSchema, job));
    expect(renderJobs(jobs, now)).toBe(
      [
        "JOB               TYPE     PID    STATUS  GPU  CHECKPOINT     SIZE     LOG",
        "personal_hopper9  process  32646  halted  no   2 seconds ago  644 KiB",
        "used_gould8       process  5336   sleep   no                           /var/log/cedana-output-used_gould8.log",
        "easy_tu9          process  7      sleep   yes                          [Attachable]",
        "",
      ].join("\n"),
    );
    expect(renderJobs([], now)).toBe("No jobs found\n");
  });

  test("have checkpoints with id, local time, size and path", () => {
    expect(renderCheckpoints([create(CheckpointSchema, latestCheckpoint)])).toBe(
      `ID                                    TIME                 SIZE     PATH
141d52b4-0d1f-4911-a0da-abfab3358d16  2025-02-19 12:32:00  644 KiB  /tmp/dump-process-personal_hopper9-1739986321.tar\n`,
    );
  });

  test("tell which container they are", () => {
    const container = { type: "runc", id: "web", root: "/run/runc", bundle: "/srv/a\nb" };
    const told = renderJob(create(JobSchema, { ...logged, type: "runc", container }));
    expect(told).toContain("Container  web\nRoot       /run/runc\nBundle     /srv/a\\nb\n");
    expect(renderJob(create(JobSchema, logged))).not.toContain("Container");
  });

  test("tell how they ended", () => {
    const at = timestampFromMs(now);
    const ended = (exit: object) => renderJob(create(JobSchema, { ...logged, exit: { at, ...exit } }));
    expect(ended({ status: 3 })).toContain("Ended     2025-02-19 12:32:03, exit status 3\n");
    expect(ended({ status: 143, signal: 15 })).toContain("killed by signal 15\n");
    expect(ended({ status: 137, signal: 9, checkpointed: true })).toContain("checkpointed\n");
  });

  test("are JSON as the API writes it", () => {
    expect(JSON.parse(renderJson(create(JobSchema, halted)))).toMatchObject({
      jid: "personal_hopper9",
      latestCheckpoint: { size: "659456", createdAt: new Date(now - 2300).toISOString() },
    });
    expect(renderJson(create(JobSchema, halted))).not.toContain("$");
  });
});

describe("containers", () => {
  const web = {
    container: { type: "runc", id: "web", root: "/run/runc", bundle: "/srv/web" },
    ...{ pid: 4242, status: "running", owner: "shim", image: "nginx:1" },
  };
  const old = {
    container: { type: "runc", id: "old", root: "/run/runc", bundle: "/srv/o\nld" },
    ...{ pid: 0, status: "stopped" },
  };
  const table = [
    "CONTAINER  PID   STATUS   OWNER  BUNDLE      IMAGE",
    "web        4242  running  shim   /srv/web    nginx:1",
    "old        0     stopped         /srv/o\\nld",
    "",
  ].join("\n");
  const none = { tree: false, inspect: false };

  test("are listed, whoever started them", () => {
    expect(renderContainers(create(QueryResponseSchema, { containers: [web, old] }), none)).toBe(table);
    expect(renderContainers(create(QueryResponseSchema, {}), none)).toBe("No containers found\n");
  });

  test("have their processes below them", () => {
    const processes = [
      { pid: 4242, ppid: 1, args: ["sh"] },
      { pid: 4243, ppid: 4242, args: ["sleep", "9"] },
    ];
    const response = create(QueryResponseSchema, { containers: [web, old], processes });
    const shown = renderContainers(response, { tree: true, inspect: false });
    expect(shown).toStartWith(`${table}\nPID   PPID  STATUS`);
    expect(shown).toEndWith("  sleep 9\n");
  });

  test("are JSON as the API writes it", () => {
    const namespaces = { net: "net:[4026532449]" };
    const response = create(QueryResponseSchema, {
      containers: [{ ...web, namespaces, cgroups: { "": "/c" } }],
    });
    expect(JSON.parse(renderJson(response))).toMatchObject({
      containers: [{ container: web.container, pid: 4242, namespaces, cgroups: { "": "/c" } }],
      processes: [],
    });
  });
});

describe("a health check", () => {
  test("marks each finding and puts the remedy below what is wrong", () => {
    expect(
      renderHealth([
        { component: "criu", name: "version", value: "4.2.1", status: "ok" },
        { component: "kernel", name: "ptrace", value: "forbidden", status: "failure", remedy: "allow it" },
      ]),
    ).toBe(
      "✔ criu version   4.2.1\n✘ kernel ptrace  forbidden\n    allow it\nnot ready: 1 failure, 0 warnings\n",
    );
  });
});

describe("a failure", () => {
  const error = new CedanaError({
    reason: "JOB_NOT_FOUND",
    message: "there is no job x",
    hint: "see cedana ps",
    details: ["a"],
  });

  test("is one line and a hint, with details only when asked for", () => {
    expect(renderError(error, { colours: false, details: false })).toBe(
      "error: there is no job x\nhint: see cedana ps\n",
    );
    expect(renderError(error, { colours: false, details: true })).toEndWith("hint: see cedana ps\n  a\n");
    expect(renderError(error, { colours: true, details: false })).toStartWith("\x1b[31merror:\x1b[0m there");
  });

  test("stays one line whatever a name in it holds", () => {
    const odd = new CedanaError({ reason: "PATH_NOT_FOUND", message: "no /tmp/a\nb\x1b[31m" });
    expect(renderError(odd, { colours: false, details: false })).toBe("error: no /tmp/a\\nb\\u001b[31m\n");
  });

  test("has an exit status by its reason", () => {
    expect(exitStatusOf(error)).toBe(1);
    expect(exitStatusOf(new CedanaError({ reason: "USAGE", message: "" }))).toBe(2);
    expect(exitStatusOf(new CedanaError({ reason: "CANCELLED", message: "" }))).toBe(130);
    expect(exitStatusOf(new TypeError("x"))).toBe(1);
  });
});
